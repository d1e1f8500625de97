"""Run an exported detector or segmentor and draw it, with numpy, onnxruntime and OpenCV alone.

python docs/run_onnx.py FILE.onnx IMAGE OUT.png [SCORE]
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def letterbox(image, facts):
    """Fit an image into the network's size, and normalise it."""
    height, width = json.loads(facts['size'])
    scale = min(height / image.shape[0], width / image.shape[1])
    h, w = (max(round(side * scale), 1) for side in image.shape[:2])
    pixels = cv2.resize(image, (w, h))
    if facts['channels'] == 'RGB':
        pixels = pixels[..., ::-1]
    mean, std = (np.float32(json.loads(facts[name])) for name in ('mean', 'std'))
    out = np.zeros((1, 3, height, width), np.float32)
    out[0, :, :h, :w] = ((pixels - mean) / std).transpose(2, 0, 1)
    return out, np.float32([[h, w]]), scale


def draw_boxes(image, outputs, scale, classes, least):
    """Draw boxes, classes and masks into an image of any size."""
    boxes, labels, *masks = (output[0] for output in outputs)
    for i in np.flatnonzero(boxes[:, 4] >= least):
        low, high = (boxes[i, :4] / scale).round().astype(int).reshape(2, 2)
        high = np.minimum(np.maximum(high, low + 1), image.shape[1::-1])
        color = tuple(int(c) for c in np.random.RandomState(labels[i]).randint(60, 255, 3))
        part = image[low[1] : high[1], low[0] : high[0]]
        if masks and part.size:
            inside = cv2.resize(masks[0][i], part.shape[1::-1]) > 0.5
            part[inside] = part[inside] // 2 + np.uint8(color) // 2
        cv2.rectangle(image, low.tolist(), high.tolist(), color, 2)
        text = f'{classes[labels[i]]} {boxes[i, 4]:.2f}'
        cv2.putText(image, text, low.tolist(), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1)


def draw_labels(image, output, size, threshold):
    """Paint each class half over an image."""
    labels = output[0] if output.ndim == 3 else output[0].argmax(0)
    if threshold:
        # of one channel, whose sigmoid is above it where class 1 is
        labels = (1 + np.tanh(output[0, 0] / 2)) / 2 > float(threshold)
    labels = labels[: int(size[0]), : int(size[1])].astype(np.int32)
    labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colors = np.random.RandomState(0).randint(0, 255, (labels.max() + 1, 3))
    image[:] = image // 2 + (colors[labels] // 2).astype(np.uint8)


def main(path, source, target, least=0.3):
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    facts = session.get_modelmeta().custom_metadata_map
    if facts['part'] != 'model':
        sys.exit(f'error: {path} is a backbone, whose maps cannot be drawn: export a whole model')
    image = cv2.imread(source)
    if image is None:
        sys.exit(f'error: {source} cannot be read as an image')
    images, sizes, scale = letterbox(image, facts)
    given = {'images': images, 'sizes': sizes}
    outputs = session.run(None, {i.name: given[i.name] for i in session.get_inputs()})
    if facts['task'] == 'detection':
        draw_boxes(image, outputs, scale, json.loads(facts['classes']), float(least))
    else:
        draw_labels(image, outputs[0], sizes[0], facts.get('threshold'))
    cv2.imwrite(target, image)


if __name__ == '__main__':
    main(*sys.argv[1:])
