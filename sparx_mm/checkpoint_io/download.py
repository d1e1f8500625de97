"""Downloads that arrive whole and unchanged or leave nothing behind."""

import fcntl
import hashlib
import http.client
import os
import os.path as osp
import re
import urllib.error
import urllib.parse
import urllib.request

import torch

from ..errors import UserError


class DownloadError(UserError):
    """A URL that cannot be fetched; the message gives the reason."""


def cached_file(url: str) -> str:
    """Return the path where torch and mmengine cache a URL's file."""
    name = osp.basename(urllib.parse.urlparse(url).path)
    return osp.join(torch.hub.get_dir(), 'checkpoints', name)


def fetch(url: str, timeout: float = 30.0) -> str:
    """Download a URL into torch's cache, unless it is there already.

    torch mistakes a broken connection for the end of the file and caches the
    part that has arrived. Here the file gets its name only when it is complete
    on the disk and its hash, if known, is right. If several processes want the
    same file, on one machine or in one network folder, only one downloads it.

    Args:
        url (str): An https URL. The file's SHA-256, or its first digits, may be
            part of the name, as in ``name-0123abcd.pth``, or follow the URL:
            ``#sha256=0123abcd...``.
        timeout (float): Seconds to wait for an answer. Default: 30.

    Returns:
        str: Path of the file in the cache.

    Raises:
        DownloadError: If the file cannot be fetched completely.
    """
    wanted = known_hash(url)
    target = cached_file(url)
    try:
        _check_encrypted(url)
        is_new = not osp.isfile(target)
        if is_new:
            os.makedirs(osp.dirname(target), exist_ok=True)
            with open(f'{target}.lock', 'w') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # another process may have had the lock before, for another URL
                is_new = not osp.isfile(target)
                if is_new:
                    _download(url, target, timeout, wanted)
        if is_new:
            return target
        if wanted:
            _check_hash(target, wanted, f'{target}, remove it: it')
        else:
            print(f'{url}: taken from {target}, which was there', flush=True)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f'{url} cannot be downloaded ({_reason(error)})') from error
    return target


def _check_encrypted(url):
    if not url.startswith('https://'):
        raise DownloadError(
            f'{url} is not encrypted; give an https URL, or '
            'download the file yourself and give its path'
        )


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_encrypted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def known_hash(url: str) -> str | None:
    """Find the SHA-256 of the file, or its first digits, in a URL.

    Raises:
        DownloadError: If the text after ``#sha256=`` is not a SHA-256.

    Example:
        >>> known_hash('https://example.org/a-0123abcd.pth')
        '0123abcd'
    """
    parts = urllib.parse.urlparse(url)
    fragment = parts.fragment.lower()
    if fragment.startswith('sha256='):
        match = re.fullmatch('sha256=([0-9a-f]{8,64})', fragment)
        if not match:
            raise DownloadError(f'{url}: a SHA-256 has 8 to 64 digits of 0-9 and a-f')
        return match[1]
    # torch and the OpenMMLab projects name files like this; digits alone are a date
    match = re.search(r'-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$', parts.path)
    return match[1] if match else None


def _download(url, target, timeout, wanted):
    partial = f'{target}.partial'
    request = urllib.request.Request(url, headers={'User-Agent': 'sparx_mm'})
    opener = urllib.request.build_opener(_EncryptedRedirects)
    try:
        with opener.open(request, timeout=timeout) as response, open(partial, 'wb') as file:
            _copy(url, response, file)
        if wanted:
            _check_hash(partial, wanted, f'{url}: what arrived')
        os.replace(partial, target)
    finally:
        # an earlier process that was killed may have left one too
        if osp.exists(partial):
            os.remove(partial)


def _copy(url, response, file):
    size = int(response.headers.get('Content-Length') or 0)
    megabytes = f' ({size / 1e6:.0f} MB)' if size else ''
    print(f'downloading {url}{megabytes}', flush=True)
    shown = 0
    while block := response.read(1 << 20):
        file.write(block)
        tenths = 10 * file.tell() // size if size else 0
        if tenths > shown:
            shown = tenths
            print(f'{10 * tenths:3} %', flush=True)
    if file.tell() < size:
        raise DownloadError(
            f'{url}: the connection was cut off after {file.tell()} of {size} bytes'
        )
    file.flush()
    os.fsync(file.fileno())


def _check_hash(path, wanted, what):
    found = sha256(path)
    if not found.startswith(wanted):
        raise DownloadError(f'{what} has the SHA-256 {found}, not {wanted}')


def sha256(path: str) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Args:
        path (str): Path of the file.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f'HTTP {error.code} {error.reason}'
    # the error inside a URLError says more than the URLError
    reason = getattr(error, 'reason', error)
    return str(reason) or type(reason).__name__
