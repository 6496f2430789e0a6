"""A throwaway nginx before a server: basic auth, and nothing held back.

    with Nginx(server.url, user="u", password="p") as proxy:
        ... proxy.url ...
"""

import os
import shutil
import signal
import subprocess
import tempfile

from server import free_port, is_port_open, wait_until

CONF = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            auth_basic "models";
            auth_basic_user_file {folder}/users;
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


class Nginx:
    def __init__(self, upstream, user, password):
        self.folder = tempfile.mkdtemp(prefix="nginx-")
        os.chmod(self.folder, 0o755)  # its workers are another user's
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        with open(os.path.join(self.folder, "users"), "w", encoding="ascii") as f:
            f.write(f"{user}:{{PLAIN}}{password}\n")
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(CONF.format(folder=self.folder, port=self.port, upstream=upstream))
        self.process = None

    def __enter__(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-p", self.folder, "-c",
                                         os.path.join(self.folder, "nginx.conf")],
                                        stdin=subprocess.DEVNULL)
        wait_until(lambda: is_port_open(self.port), 20, "nginx listens")
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
