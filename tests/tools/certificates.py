"""Certificates for a test, made by the openssl program in a folder of the test's own."""

import subprocess


def run(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Authority:
    """A certificate authority, and what it has signed."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.file = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", self.key, "-out", self.file, "-subj", f"/CN={name}")

    def sign(self, name, cert=None, key=None):
        """(certificate, key) of that name, good for this machine."""
        cert = cert or self.folder / f"{name}.pem"
        key = key or self.folder / f"{name}.key"
        request, terms = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        terms.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-out", request, "-subj", f"/O=tests/CN={name}")
        run("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
            "-days", "2", "-extfile", terms, "-out", cert)
        return cert, key

    def write_crl(self, path, *revoked, days=2, seconds=0):
        """A list of what it has taken back, at path, whole at once; days < 0: one past its time; seconds: one
        whose time is over then."""
        database, config = self.folder / f"{self.name}.index", self.folder / f"{self.name}.cnf"
        database.touch()
        config.write_text(f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\ndefault_md=sha256\n")
        for cert in revoked:
            run("ca", "-config", config, "-revoke", cert, "-keyfile", self.key, "-cert", self.file)
        until = ["-crldays", days] if days > 0 else ["-crl_lastupdate", "20200101000000Z",
                                                     "-crl_nextupdate", "20200102000000Z"]
        if seconds:
            until = ["-crlsec", seconds]
        new = self.folder / f"{self.name}.crl.new"
        run("ca", "-config", config, "-gencrl", *until, "-keyfile", self.key, "-cert", self.file, "-out", new)
        new.replace(path)
