"""A Kubernetes without machines: etcd, the API server, the controllers, the scheduler, and kwok for kubelets.

    with ControlPlane() as plane:
        plane.apply(objects, "namespace")
        plane.wait("statefulset/x", "ml", lambda o: o["status"].get("readyReplicas") == 3)

The servers are real: what they admit, default, create, roll out and evict is what a cluster does. The nodes
are not: kwok says of every pod that it runs and is ready, of a job's pod that it has succeeded, and
deletes one at once. No container, no network and no volume is behind them; with forwards=, kwok leaves the pods to
kubelet.py. All listen on free ports of 127.0.0.1, and are ended by the process ids that were started.

Needs etcd (the package etcd-server) and what tests/deploy/kube/fetch.sh has brought to build/cluster.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from certificates import Authority
from server import free_port, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILT = os.path.join(ROOT, "build/cluster")
KUBECTL = os.path.join(ROOT, "build/kube/kubectl")
ADMIN, CONTROLLERS = "token-of-admin", "token-of-controllers"
TOKENS = (f'{ADMIN},admin,1,"system:masters"\n'
          f"{CONTROLLERS},system:kube-controller-manager,2\n")
NODES = [("one", "a"), ("two", "a"), ("three", "b")]


class ControlPlane:
    def __init__(self, forwards=None):
        """forwards: {namespace: address}: another runs the pods, and kwok's part of `kubectl port-forward` goes to
        that address for pods of that namespace. None: kwok says that pods run."""
        self.forwards = forwards
        self.folder = tempfile.mkdtemp(prefix="plane-")
        # Nothing here has to last, and a busy disk holds every controller up for a minute.
        self.store = tempfile.mkdtemp(prefix="etcd-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.processes = []
        self.port = free_port()
        self.config = self.path("admin.kubeconfig")

    def path(self, name):
        return os.path.join(self.folder, name)

    def spawn(self, name, *flags):
        program = shutil.which(name) if name == "etcd" else os.path.join(BUILT, "bin", name)
        with open(self.path(name + ".log"), "ab") as log:
            self.processes.append((name, subprocess.Popen(
                [program, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, env={"PATH": "/usr/bin:/bin", "HOME": self.folder})))

    def log(self, name):
        with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-40:])

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def kubeconfig(self, name, token):
        return self.write(name, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": f"https://127.0.0.1:{self.port}",
                "certificate-authority": self.path("certificates/apiserver.crt")}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))

    def start_api(self):
        store, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.spawn("etcd", "--data-dir", self.store, "--listen-client-urls", store,
                   "--advertise-client-urls", store, "--listen-peer-urls", peer,
                   "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                   "--unsafe-no-fsync")
        key = self.path("accounts.key")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        with open(self.path("accounts.pub"), "wb") as f:
            subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, stdout=f,
                           stderr=subprocess.DEVNULL)
        self.spawn("kube-apiserver", f"--etcd-servers={store}", "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", f"--secure-port={self.port}",
                   f"--cert-dir={self.path('certificates')}", "--service-cluster-ip-range=10.96.0.0/16",
                   "--authorization-mode=RBAC", f"--token-auth-file={self.write('tokens.csv', TOKENS)}",
                   "--service-account-issuer=https://kubernetes.default.svc",
                   f"--service-account-key-file={self.path('accounts.pub')}",
                   f"--service-account-signing-key-file={key}",
                   # Every write counts in a test of seconds; nobody reads the old ones.
                   "--watch-cache=true", "--event-ttl=10m")
        self.kubeconfig("admin.kubeconfig", ADMIN)
        wait_until(lambda: self.is_up() and self.kubectl("get", "--raw", "/readyz", fails=None) == "ok",
                   240, "the API server is ready")

    def start(self):
        self.start_api()
        controllers = self.kubeconfig("controllers.kubeconfig", CONTROLLERS)
        self.spawn("kube-controller-manager", f"--kubeconfig={controllers}", "--leader-elect=false",
                   "--use-service-account-credentials=true", "--bind-address=127.0.0.1",
                   f"--service-account-private-key-file={self.path('accounts.key')}",
                   f"--secure-port={free_port()}", f"--cert-dir={self.path('controllers')}",
                   "--horizontal-pod-autoscaler-sync-period=1s",
                   # A fake node is not lost because kwok had no processor for a while.
                   "--node-monitor-grace-period=1h",
                   "--horizontal-pod-autoscaler-downscale-stabilization=1s",
                   "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
                   "--horizontal-pod-autoscaler-cpu-initialization-period=0s")
        self.spawn("kube-scheduler", f"--kubeconfig={self.config}", "--leader-elect=false",
                   "--bind-address=127.0.0.1", f"--secure-port={free_port()}",
                   f"--cert-dir={self.path('scheduler')}", "--authentication-skip-lookup")
        self.start_kwok()
        for name, zone in NODES:
            self.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}}}])
        for name, _ in NODES:
            self.wait(f"node/{name}", None, lambda o: any(
                c["type"] == "Ready" and c["status"] == "True" for c in o["status"].get("conditions", [])))
        for name in sorted(os.listdir(os.path.join(BUILT, "crds"))):
            self.kubectl("apply", "--server-side", "-f", os.path.join(BUILT, "crds", name))
        wait_until(lambda: all(any(
            c["type"] == "Established" and c["status"] == "True"
            for c in crd.get("status", {}).get("conditions") or []) for crd in self.get("crd")["items"]),
            60, "the custom resources are served")
        return self

    def start_kwok(self):
        stages, port = [], free_port()
        for name in sorted(os.listdir(os.path.join(BUILT, "stages"))):
            if self.forwards is not None and name.startswith("pod-"):
                continue
            with open(os.path.join(BUILT, "stages", name), encoding="utf-8") as f:
                stages.append(f.read())
        for namespace, address in (self.forwards or {}).items():
            stages.append(json.dumps({
                "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterPortForward", "metadata": {"name": namespace},
                "spec": {"selector": {"matchNamespaces": [namespace]},
                         "forwards": [{"ports": [5000], "target": {"port": 5000, "address": address}}]}}))
        flags = []
        if self.forwards is not None:  # the API server calls it as it calls a kubelet
            certificate, key = Authority(pathlib.Path(self.folder), "nodes").sign("node")
            flags = ["--node-ip=127.0.0.1", f"--node-port={port}", f"--tls-cert-file={certificate}",
                     f"--tls-private-key-file={key}"]
        self.spawn("kwok", "--kubeconfig", self.config, "--manage-all-nodes=true",
                   f"--server-address=127.0.0.1:{port}", "--node-lease-duration-seconds=40", *flags,
                   "--config", self.write("stages.yaml", "\n---\n".join(stages)))

    def is_up(self):
        for name, process in self.processes:
            if process.poll() is not None:
                raise AssertionError(f"{name} has ended with {process.returncode}:\n{self.log(name)}")
        return True

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *unused):
        for _, process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.store, ignore_errors=True)

    # --- what a user does --------------------------------------------------------------------------

    def kubectl(self, *words, text=None, fails=False):
        """What it prints. fails=True: it must fail, and what it then says; None: either."""
        done = subprocess.run([KUBECTL, "--kubeconfig", self.config, *words], input=text, text=True,
                              capture_output=True, timeout=300, check=False,
                              env={"PATH": "/usr/bin:/bin", "HOME": self.folder})
        said = done.stderr if done.returncode else done.stdout
        if fails is not None:
            assert (done.returncode != 0) == fails, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return said

    def apply(self, objects, namespace=None):
        """Server-side apply; what it said."""
        where = ["-n", namespace] if namespace else []
        return self.kubectl("apply", "--server-side", *where, "-f", "-",
                            text="\n---\n".join(map(json.dumps, objects)))

    def get(self, what, namespace=None, *more):
        where = ["-n", namespace] if namespace else []
        return json.loads(self.kubectl("get", *where, what, "-o", "json", *more))

    def wait(self, what, namespace, condition, limit_s=180):
        """Polls the object until condition(object); returns it."""
        seen = {}

        def holds():
            self.is_up()
            seen["last"] = self.get(what, namespace)
            return condition(seen["last"])

        try:
            wait_until(holds, limit_s, f"{what} in {namespace}")
        except AssertionError as e:
            events = self.kubectl("get", "events", "-n", namespace or "default", fails=None)
            raise AssertionError(f"{e}\n{json.dumps(seen['last'].get('status'), indent=1)}\n"
                                 f"{events[-4000:]}") from None
        return seen["last"]

    def namespace(self, name, level="restricted"):
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/warn": level}}}])
        # A pod without its account would be refused once, and made again later.
        self.wait_for_account(name)
        return name

    def wait_for_account(self, name):
        wait_until(lambda: "default" in self.kubectl("get", "serviceaccount", "-n", name, "-o", "name"),
                   60, f"the account of {name}")

    def volumes(self, counts):
        """So many volumes of each class, for whoever claims one: no provisioner runs here."""
        self.apply([{"apiVersion": "v1", "kind": "PersistentVolume",
                     "metadata": {"name": f"volume-{kind or 'plain'}-{n}"},
                     "spec": {"capacity": {"storage": "200Gi"}, "accessModes": ["ReadWriteOnce"],
                              "storageClassName": kind, "hostPath": {"path": f"/volume/{kind}{n}"}}}
                    for kind, count in counts.items() for n in range(count)])

    def pods(self, namespace, selector):
        return self.get("pods", namespace, "-l", selector)["items"]
