"""A detector that knows the ground truth."""

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData


class Oracle(BaseModel):
    """Detector that finds the objects of its ground truth, and takes squares for stars."""

    def forward(self, inputs, data_samples, mode):
        for sample in data_samples:
            truth = sample.gt_instances
            labels = truth.labels.clone()
            labels[labels == 1] = 3
            sample.pred_instances = InstanceData(
                bboxes=truth.bboxes,
                labels=labels,
                masks=torch.from_numpy(truth.masks.masks > 0),
                scores=torch.full((len(truth),), 0.9),
            )
        return data_samples
