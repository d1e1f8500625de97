"""A download is whole or is not there."""
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sparx_mm.engine import DownloadError, fetch

CONTENT = bytes(range(256)) * 4096


class _Handler(BaseHTTPRequestHandler):

    def do_GET(self):
        self.server.paths.append(self.path)
        if 'missing' in self.path:
            self.send_error(404)
            return
        if 'silent' in self.path:
            self.server.release.wait(10)
            return
        self.send_response(200)
        if 'unsized' not in self.path:
            self.send_header('Content-Length', str(len(CONTENT)))
        self.end_headers()
        half = len(CONTENT) // 2 if 'cut' in self.path else len(CONTENT)
        self.wfile.write(CONTENT[:half])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.paths, server.release = [], threading.Event()
    server.url = f'http://127.0.0.1:{server.server_port}'
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
    return tmp_path / 'hub/checkpoints'


@pytest.mark.parametrize('name', ['a.pth', 'unsized.pth'])
def test_arrives_where_torch_looks(server, cache, name):
    path = fetch(f'{server.url}/some/{name}?raw=true')
    assert path == str(cache / name)
    assert (cache / name).read_bytes() == CONTENT


def test_is_fetched_once(server, cache):
    for _ in range(2):
        fetch(f'{server.url}/a.pth')
    assert server.paths == ['/a.pth']


@pytest.mark.parametrize('name,reason', [
    ('cut.pth', f'cut off after {len(CONTENT) // 2} of {len(CONTENT)} bytes'),
    ('missing.pth', 'HTTP 404'),
    ('silent.pth', 'timed out'),
])
def test_failure_leaves_nothing(server, cache, name, reason):
    with pytest.raises(DownloadError, match=reason):
        fetch(f'{server.url}/{name}', timeout=1)
    assert list(cache.iterdir()) == []


def test_nobody_there(cache):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        # bound and not listening: connections are refused
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/a.pth'
        with pytest.raises(DownloadError, match='refused'):
            fetch(url)
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'file'))
    with pytest.raises(DownloadError, match='file'):
        fetch(f'{server.url}/a.pth')
