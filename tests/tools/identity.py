"""An OpenID issuer: what signs the tokens of service accounts in a cluster. SeaweedFS asks it for its keys when
somebody shows a token, and then gives credentials that expire (STS AssumeRoleWithWebIdentity).

    with Issuer() as issuer:
        S3(more=[f"-s3.iam.config={issuer.write_config(folder)}"])
        issuer.token("trainer")
"""

import base64
import http.server
import json
import os
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROLE = "arn:aws:iam::role/Artifacts"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    return encode(n.to_bytes((n.bit_length() + 7) // 8, "big"))


class Issuer:
    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self.key.public_key().public_numbers()
        keys = {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
                          "n": number(public.n), "e": number(public.e)}]}
        issuer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = {"/keys": keys, "/.well-known/openid-configuration": {
                    "issuer": issuer.url, "jwks_uri": issuer.url + "/keys"}}.get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def token(self, who, seconds=600, **claims):
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": "1"}
        body = {"iss": self.url, "sub": who, "aud": "sluice", "iat": now, "exp": now + seconds, **claims}
        text = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(body).encode())}"
        return f"{text}.{encode(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def write_config(self, folder):
        """SeaweedFS': whoever has a token of ours may be the role, and the role may everything."""
        path = os.path.join(folder, "iam.json")
        with open(path, "w", encoding="ascii") as f:
            json.dump({
                "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "sts",
                        "signingKey": base64.b64encode(os.urandom(32)).decode()},
                "providers": [{"name": "issuer", "type": "oidc", "enabled": True, "config": {
                    "issuer": self.url, "clientId": "sluice", "jwksUri": self.url + "/keys"}}],
                "policy": {"defaultEffect": "Deny", "storeType": "memory"},
                "policies": [{"name": "All", "document": {"Version": "2012-10-17", "Statement": [
                    {"Effect": "Allow", "Action": ["s3:*", "sts:ValidateSession"], "Resource": ["*"]}]}}],
                "roles": [{"roleName": "Artifacts", "roleArn": ROLE, "attachedPolicies": ["All"],
                           "trustPolicy": {"Version": "2012-10-17", "Statement": [
                               {"Effect": "Allow", "Principal": {"Federated": "issuer"},
                                "Action": ["sts:AssumeRoleWithWebIdentity"]}]}}]}, f)
        return path

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
