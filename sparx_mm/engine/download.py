"""Downloads that arrive whole or leave nothing behind."""
import http.client
import os
import os.path as osp
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import torch


class DownloadError(Exception):
    """A URL could not be fetched; the message is the reason."""


def cached_file(url: str) -> str:
    """Where torch and mmengine look for a URL before they download it."""
    name = osp.basename(urllib.parse.urlparse(url).path)
    return osp.join(torch.hub.get_dir(), 'checkpoints', name)


def fetch(url: str, timeout: float = 30.) -> str:
    """Download a URL into torch's cache, unless it is there.

    torch takes a connection that is cut off for the end of the file and
    caches the half. Here the file gets its name only when all of it is on
    the disk.

    Args:
        url (str): An http or https URL.
        timeout (float): Seconds without an answer until giving up.
            Default: 30.

    Returns:
        str: The file in the cache.

    Raises:
        DownloadError: If it cannot be fetched as a whole.
    """
    target = cached_file(url)
    if osp.isfile(target):
        return target
    partial = None
    try:
        os.makedirs(osp.dirname(target), exist_ok=True)
        handle, partial = tempfile.mkstemp(
            prefix=osp.basename(target),
            suffix='.partial',
            dir=osp.dirname(target))
        with os.fdopen(handle, 'wb') as file:
            _copy(url, file, timeout)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(_reason(error)) from error
    finally:
        if partial is not None and osp.exists(partial):
            os.remove(partial)
    return target


def _copy(url, file, timeout):
    request = urllib.request.Request(url, headers={'User-Agent': 'sparx_mm'})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        expected = response.headers.get('Content-Length')
        megabytes = f' ({int(expected) / 1e6:.0f} MB)' if expected else ''
        print(f'downloading {url}{megabytes}', flush=True)
        shutil.copyfileobj(response, file, length=1 << 20)
    if expected is not None and file.tell() != int(expected):
        raise DownloadError(f'the connection was cut off after {file.tell()} '
                            f'of {expected} bytes')


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f'HTTP {error.code} {error.reason}'
    # what a URLError wraps says more than itself
    reason = getattr(error, 'reason', error)
    return str(reason) or type(reason).__name__
