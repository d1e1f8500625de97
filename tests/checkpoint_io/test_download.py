"""A download is whole and the right one, or it is not there."""

import hashlib
import http.server
import multiprocessing
import socket
import ssl
import threading
from importlib import import_module

import pytest
import trustme

from sparx_mm.checkpoint_io import DownloadError, fetch
from sparx_mm.checkpoint_io.download import known_hash

CONTENT = bytes(range(256)) * 4096 * 3
HASH = hashlib.sha256(CONTENT).hexdigest()
# where a server sends a client on to
MOVED = {
    '/moved.pth': 'http://127.0.0.1:9/a.pth',
    '/local.pth': 'file:///etc/passwd',
    '/ftp.pth': 'ftp://127.0.0.1/a.pth',
    '/data.pth': 'data:text/plain,a',
}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        if 'missing' in self.path:
            self.send_error(404)
            return
        if 'silent' in self.path:
            self.server.release.wait(10)
            return
        if self.path in MOVED:
            self.send_response(302)
            self.send_header('Location', MOVED[self.path])
            self.end_headers()
            return
        self.send_response(200)
        if 'unsized' not in self.path:
            self.send_header('Content-Length', str(len(CONTENT)))
        self.end_headers()
        half = len(CONTENT) // 2 if 'cut' in self.path else len(CONTENT)
        self.wfile.write(CONTENT[:half])

    def log_message(self, *args):
        pass


@pytest.fixture(scope='module')
def authority():
    return trustme.CA()


@pytest.fixture
def server(authority, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority.cert_pem.write_to_path(tmp_path / 'ca.pem')
    monkeypatch.setenv('SSL_CERT_FILE', str(tmp_path / 'ca.pem'))
    server.paths, server.release = [], threading.Event()
    server.url = f'https://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    for name in ('https_proxy', 'HTTPS_PROXY'):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / 'hub/checkpoints'


def files(cache):
    return [f.name for f in cache.iterdir() if f.suffix != '.lock']


@pytest.mark.parametrize('name', ['a.pth', 'unsized.pth'])
def test_arrives_where_torch_looks(server, cache, name):
    path = fetch(f'{server.url}/some/{name}?raw=true')
    assert path == str(cache / name)
    assert (cache / name).read_bytes() == CONTENT


def test_shows_progress(server, cache, capsys):
    fetch(f'{server.url}/a.pth')
    assert capsys.readouterr().out.splitlines() == [
        f'downloading {server.url}/a.pth (3 MB)',
        ' 30 %',
        ' 60 %',
        '100 %',
    ]


def test_says_what_it_takes_from_the_cache(server, cache, capsys):
    cache.mkdir(parents=True)
    (cache / 'a.pth').write_text('of another project')
    url = f'{server.url}/a.pth'
    fetch(url)
    assert capsys.readouterr().out == f'{url}: taken from {cache / "a.pth"}, which was there\n'


def test_is_fetched_once(server, cache):
    for _ in range(2):
        fetch(f'{server.url}/a.pth')
    assert server.paths == ['/a.pth']


def test_processes_share_one_download(server, cache):
    context = multiprocessing.get_context('fork')
    with context.Pool(4) as pool:
        paths = pool.map(fetch, [f'{server.url}/a.pth'] * 4)
    assert set(paths) == {str(cache / 'a.pth')}
    assert server.paths == ['/a.pth']


@pytest.mark.parametrize(
    'url,known',
    [
        ('https://a.org/resnet50-0123abcd.pth', '0123abcd'),
        (f'https://a.org/a.pth#sha256={HASH}', HASH),
        (f'https://a.org/a.pth#SHA256={HASH.upper()}', HASH),
        ('https://a.org/a-0123abcd.pth?b=c', '0123abcd'),
        ('https://a.org/sparx_mamba_tiny_in1k.pth', None),
        ('https://a.org/a-20240101.pth', None),
        ('https://a.org/name-tiny.pth', None),
    ],
)
def test_known_hash(url, known):
    assert known_hash(url) == known


@pytest.mark.parametrize('form', ['/a-{}.pth', '/a.pth#sha256={}'])
def test_hashes_are_checked(server, cache, form):
    wrong = 'deadbeef'
    assert not HASH.startswith(wrong)
    with pytest.raises(DownloadError, match=f'{HASH}, not {wrong}'):
        fetch(server.url + form.format(wrong))
    assert files(cache) == []
    # eight digits, one of them a letter
    assert not HASH[:8].isdecimal()
    for known in (HASH, HASH[:8]):
        fetch(server.url + form.format(known))
    assert all((cache / name).read_bytes() == CONTENT for name in files(cache))


def test_cached_files_are_checked_too(server, cache):
    url = f'{server.url}/a.pth#sha256={HASH[:16]}'
    cache.mkdir(parents=True)
    (cache / 'a.pth').write_text('half')
    with pytest.raises(DownloadError, match='a.pth, remove it: it has the SHA'):
        fetch(url)
    (cache / 'a.pth').write_bytes(CONTENT)
    assert fetch(url) == str(cache / 'a.pth')
    assert server.paths == []


def test_what_another_process_has_fetched_is_checked(server, cache, monkeypatch):
    """It had the lock, for a URL of the same name."""
    module = import_module('sparx_mm.checkpoint_io.download')
    flock = module.fcntl.flock

    def wait(file, mode):
        flock(file, mode)
        (cache / 'a.pth').write_text('of another URL')

    monkeypatch.setattr(module.fcntl, 'flock', wait)
    with pytest.raises(DownloadError, match='a.pth, remove it: it has the SHA'):
        fetch(f'{server.url}/a.pth#sha256={HASH[:16]}')
    assert server.paths == []


@pytest.mark.parametrize('given', ['1234', 'x' * 64, 'a' * 65])
def test_a_hash_that_is_none(cache, given):
    with pytest.raises(DownloadError, match='has 8 to 64 digits'):
        fetch(f'https://a.org/a.pth#sha256={given}')


def test_a_cache_that_others_keep(cache, monkeypatch):
    cache.mkdir(parents=True)
    (cache / 'a.pth').write_bytes(CONTENT)
    monkeypatch.setattr('builtins.open', None)
    # nothing is written, not even a lock
    assert fetch('https://a.org/a.pth') == str(cache / 'a.pth')


@pytest.mark.parametrize(
    'name,reason',
    [
        ('cut.pth', f'cut off after {len(CONTENT) // 2} of {len(CONTENT)} bytes'),
        ('missing.pth', 'HTTP 404'),
        ('silent.pth', 'timed out'),
    ],
)
def test_failure_leaves_nothing(server, cache, name, reason):
    cache.mkdir(parents=True)
    # nor what a process that was killed has left
    (cache / f'{name}.partial').write_text('half')
    with pytest.raises(DownloadError, match=reason):
        fetch(f'{server.url}/{name}', timeout=1)
    assert files(cache) == []


@pytest.mark.tries('a download that is redirected')
def test_only_https(server, cache):
    with pytest.raises(DownloadError, match='http://a.org/a.pth is not enc'):
        fetch('http://a.org/a.pth')
    assert not cache.exists()


@pytest.mark.tries('a download that is redirected')
@pytest.mark.parametrize('path', MOVED)
def test_is_not_sent_on_to_anything_else(server, cache, path):
    with pytest.raises(DownloadError, match='is not (encrypted|allowed)'):
        fetch(server.url + path)
    assert files(cache) == []


def test_unknown_authority(server, cache, monkeypatch):
    monkeypatch.delenv('SSL_CERT_FILE')
    with pytest.raises(DownloadError, match='CERTIFICATE_VERIFY_FAILED'):
        fetch(f'{server.url}/a.pth')
    assert files(cache) == []


def test_nobody_there(cache):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        # bound and not listening: connections are refused
        url = f'https://127.0.0.1:{taken.getsockname()[1]}/a.pth'
        with pytest.raises(DownloadError, match='refused'):
            fetch(url)
    assert files(cache) == []


def test_cache_that_cannot_be_written(server, cache, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'file'))
    with pytest.raises(DownloadError, match='file'):
        fetch(f'{server.url}/a.pth')
