"""The machine that control_plane.py lacks: it runs the pods of a real API server as processes.

    namespaces.enter("net", "mount"); kubelet.make_network()
    with ControlPlane(kubelet=True) as plane, Kubelet(plane, images) as machine:
        plane.apply(...)                 # pods are ready when their probes say so
        requests.get("http://sluice.ml.svc:5000/health")

What a kubelet, a runtime and kube-proxy do, as far as the acceptance checks look: a network namespace with an
address on one bridge for each pod; an overlay over the image's root, read-only if the pod asks for that;
the pod's users, no new privileges, no capability; volumes, Secrets and ConfigMaps with fsGroup; variables,
probes, restarts, SIGTERM and the grace period; ClusterIPs by iptables, names by /etc/hosts, which the test
sees as well. Not here: limits of resources, seccomp, NetworkPolicy, registries.

An image is a folder with a root, or this machine's own root with a command in place of the image's own, whose
probes over HTTP then are its port. Pods are looked at every POLL_S, and so are their probes, which in a cluster are asked less often.
"""

import base64
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback

import requests
import urllib3

from control_plane import ADMIN

BRIDGE, NETWORK, SERVICES = "pods", "10.77", "10.96.0.0/16"
HOME = NETWORK + ".0.1"  # this side of the bridge
API_SERVER = "10.96.0.1"  # of the Service kubernetes
POLL_S = 0.2
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUN = r"""
mount -t tmpfs -o mode=0755 tmpfs "$D"
mkdir "$D/upper" "$D/work" "$D/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$D/upper,workdir=$D/work" "$D/root"
mkdir -p "$D/root/proc" "$D/root/dev" "$D/root/etc"
mount -t proc proc "$D/root/proc"
mount --rbind /dev "$D/root/dev"
touch "$D/root/etc/hosts" "$D/root/etc/resolv.conf"
mount --bind "$HOSTS" "$D/root/etc/hosts"
"""


def command(*words, text=None):
    done = subprocess.run(words, input=text, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def make_network():
    """In namespaces of the caller's own: the bridge, and an /etc/hosts that Kubelet writes."""
    os.makedirs("/run/netns", exist_ok=True)
    command("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    command("ip", "link", "add", BRIDGE, "type", "bridge")
    command("ip", "addr", "add", HOME + "/16", "dev", BRIDGE)
    command("ip", "link", "set", BRIDGE, "up")
    command("ip", "route", "add", SERVICES, "dev", BRIDGE)
    for name, value in (("ip_forward", "1"), (f"conf/{BRIDGE}/send_redirects", "0"),
                        (f"conf/{BRIDGE}/route_localnet", "1")):  # the API server is at 127.0.0.1
        with open("/proc/sys/net/ipv4/" + name, "w", encoding="ascii") as f:
            f.write(value)


class Image:
    """root: a folder, or / for this machine. program: in place of the image's entrypoint, after which come the
    container's arguments; env: what the image sets; tools: a folder of programs that it has besides. is_ours: its
    probes are its own."""

    def __init__(self, root="/", program=(), env=None, user=None, is_ours=True, tools=None):
        self.root = root
        self.program = list(program)
        self.env = env or {}
        self.user = user
        self.is_ours = is_ours
        self.tools = tools


class Container:
    """One process; name and spec as the pod has them."""

    def __init__(self, pod, spec):
        self.pod = pod
        self.spec = spec
        self.name = spec["name"]
        self.process = None
        self.restarts = -1
        self.env = {}  # of its start
        self.log = os.path.join(pod.folder, self.name + ".log")
        self.not_before = 0

    def image(self):
        name = self.spec["image"]
        found = [image for key, image in self.pod.machine.images.items() if key in name]
        assert len(found) == 1, f"no image for {name}"
        return found[0]

    def words(self, image):
        if self.spec.get("command"):
            words = self.spec["command"] + self.spec.get("args", [])
        else:
            words = image.program + self.spec.get("args", [])
        return words

    def start(self):
        image, pod = self.image(), self.pod
        folder = tempfile.mkdtemp(prefix=self.name + "-", dir=pod.folder)
        context = {**pod.spec.get("securityContext", {}), **self.spec.get("securityContext", {})}
        user = context.get("runAsUser", image.user)
        assert user and context.get("runAsNonRoot"), f"{self.name} would run as root"
        script = RUN
        if image.root == "/":  # an interpreter may lie in root's home
            script += 'chmod a+rx "$D/root/root"\n'
            script += f'echo "pod:x:{user}:0::/tmp:/bin/sh" >>"$D/root/etc/passwd"\n'
        if image.tools:
            script += f'cp {image.tools}/* "$D/root/usr/local/bin"\n'
        for mount in self.spec.get("volumeMounts", []):
            source = pod.volume(mount["name"])
            if mount.get("subPath"):
                source = os.path.join(source, mount["subPath"])
                pod.make_folder(source)
            # As seen inside: a link like /var/run would lead to this machine's own.
            path = mount["mountPath"]
            target = shlex.quote(os.path.realpath(path) if image.root == "/" else path)
            script += f'mkdir -p "$D/root"{target}\nmount --bind {source} "$D/root"{target}\n'
            if mount.get("readOnly"):
                script += f'mount -o remount,bind,ro "$D/root"{target}\n'
        if context.get("readOnlyRootFilesystem"):
            script += 'mount -o remount,ro "$D/root"\n'
        env = self.env = {"PATH": PATH, **image.env, **pod.variables(self.spec)}
        groups = f" --groups={context['fsGroup']}" if "fsGroup" in context else " --groups="
        script += (f"cd /; exec ip netns exec {pod.network} env -i " +
                   " ".join(shlex.quote(f"{k}={v}") for k, v in env.items()) +
                   f" setpriv --no-new-privs /usr/sbin/chroot --userspec={user}:{context.get('runAsGroup', 0)}"
                   f"{groups} \"$D/root\" " + " ".join(map(shlex.quote, self.words(image))) + "\n")
        with open(self.log, "ab") as log:
            # exec all the way: the process is the program.
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
                env={"PATH": PATH, "D": folder, "LOWER": image.root, "HOSTS": pod.hosts})
        self.restarts += 1

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        probe = self.spec.get("readinessProbe")
        if not self.is_running():
            return False
        if probe is None:
            return True
        if "exec" in probe:
            return self.executes(probe["exec"]["command"])
        if not self.image().is_ours:
            return self.pod.answers_tcp(self.spec["ports"][0]["containerPort"])
        return self.asks(probe["httpGet"])

    def executes(self, words):
        """A command inside, as who the program runs as."""
        pid = str(self.process.pid)
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = f.read()
        if "Uid:\t0" in status:
            return False  # on its way there
        user, group = (re.search(rf"^{word}:\t(\d+)", status, re.M)[1] for word in ("Uid", "Gid"))
        env = [f"{k}={v}" for k, v in self.env.items()]
        done = subprocess.run(["nsenter", "-t", pid, "-m", "-n", "-r", "-S", user, "-G", group, "env", "-i", *env,
                               *words], check=False, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode == 0

    def asks(self, http):
        ports = {p["name"]: p["containerPort"] for p in self.spec["ports"]}
        port = ports.get(http["port"], http["port"])
        scheme = http.get("scheme", "HTTP").lower()
        try:
            answer = requests.get(f"{scheme}://{self.pod.ip}:{port}{http['path']}", timeout=5, verify=False)
        except requests.RequestException:
            return False
        return 200 <= answer.status_code < 400

    def status(self, is_ready):
        state = {"waiting": {"reason": "CrashLoopBackOff"}}
        if self.is_running():
            state = {"running": {"startedAt": self.pod.started}}
        elif self.process is not None:
            state = {"terminated": {"exitCode": abs(self.process.returncode), "reason": "Ended",
                                    "startedAt": self.pod.started, "finishedAt": now()}}
        return {"name": self.name, "ready": is_ready, "restartCount": max(self.restarts, 0), "state": state,
                "image": self.spec["image"], "imageID": "local", "started": is_ready}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Pod:
    def __init__(self, machine, made, ip):
        self.machine = machine
        self.ip = ip
        self.uid = made["metadata"]["uid"]
        self.name, self.namespace = made["metadata"]["name"], made["metadata"]["namespace"]
        self.spec = made["spec"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.network = "p" + ip.rpartition(NETWORK + ".")[2].replace(".", "-")
        self.folder = os.path.join(machine.folder, self.uid)
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.hosts = machine.hosts_of(self.namespace)
        self.started = now()
        self.containers = [Container(self, spec) for spec in self.spec["containers"]]
        self.ending_since = None
        self.grace_s = 0
        self.said = None

    def join(self):
        """Its network namespace, with its address on the bridge."""
        net = self.network
        command("ip", "netns", "add", net)
        command("ip", "link", "add", net, "type", "veth", "peer", "name", "eth0", "netns", net)
        command("ip", "link", "set", net, "master", BRIDGE, "up")
        for words in (("addr", "add", self.ip + "/16", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("link", "set", "lo", "up"), ("route", "add", "default", "via", HOME)):
            command("ip", "-n", net, *words)

    def leave(self):
        subprocess.run(["ip", "netns", "del", self.network], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.network], check=False, capture_output=True)

    def answers_tcp(self, port):
        return subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/{self.ip}/{port}"], check=False,
                              capture_output=True, timeout=10).returncode == 0

    def make_folder(self, path, mode=0o2770):
        """A folder of a volume, as fsGroup has it: root's, with the pod's group."""
        if not os.path.isdir(path):
            os.makedirs(path)
            os.chown(path, 0, self.spec.get("securityContext", {}).get("fsGroup", 0))
            os.chmod(path, mode)
        return path

    def object_volume(self, kind, row, folder):
        """A Secret's or a ConfigMap's files."""
        name = row.get("secretName") or row.get("name")
        data = self.machine.get(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}").get("data", {})
        items = row.get("items") or [{"key": key, "path": key} for key in data]
        self.make_folder(folder, 0o2755)
        for item in items:
            path = os.path.join(folder, item["path"])
            text = data[item["key"]]
            with open(path, "wb") as f:
                f.write(base64.b64decode(text) if kind == "secrets" else text.encode())
            os.chown(path, 0, self.spec.get("securityContext", {}).get("fsGroup", 0))
            os.chmod(path, 0o640 if kind == "secrets" else 0o644)

    def volume(self, name):
        row = next(v for v in self.spec["volumes"] if v["name"] == name)
        folder = os.path.join(self.folder, "volumes", name)
        if "persistentVolumeClaim" in row:
            return self.make_folder(os.path.join(self.machine.folder, "claims", self.namespace,
                                                 row["persistentVolumeClaim"]["claimName"]))
        if os.path.isdir(folder):
            return folder
        if "emptyDir" in row:
            self.make_folder(folder, 0o2777)
        elif "secret" in row:
            self.object_volume("secrets", row["secret"], folder)
        elif "configMap" in row:
            self.object_volume("configmaps", row["configMap"], folder)
        elif "projected" in row:
            self.project_account(folder)
        else:
            raise AssertionError(f"no such volume: {row}")
        return folder

    def project_account(self, folder):
        """The service account's token, as a kubelet asks for it."""
        self.make_folder(folder, 0o2755)
        answer = self.machine.ask("POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts/"
                                  f"{self.spec['serviceAccountName']}/token",
                                  {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                   "spec": {"expirationSeconds": 3600}})
        with open(self.machine.plane.path("certificates/apiserver.crt"), encoding="ascii") as f:
            authority = f.read()
        for name, text in (("token", answer["status"]["token"]), ("namespace", self.namespace),
                           ("ca.crt", authority)):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(path, 0o644)

    def variables(self, spec):
        """The environment: whole Secrets and ConfigMaps first, then names, with $(NAME) put in."""
        out = {}

        def data(kind, name):
            rows = self.machine.get(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}").get("data", {})
            return {k: base64.b64decode(v).decode() if kind == "secrets" else v for k, v in rows.items()}

        for row in spec.get("envFrom", []):
            kind, key = ("secrets", "secretRef") if "secretRef" in row else ("configmaps", "configMapRef")
            out.update(data(kind, row[key]["name"]))
        for row in spec.get("env", []):
            value, source = row.get("value", ""), row.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = data("secrets", source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]]
            elif "configMapKeyRef" in source:
                value = data("configmaps", source["configMapKeyRef"]["name"])[source["configMapKeyRef"]["key"]]
            elif source:
                assert source["fieldRef"]["fieldPath"] == "status.podIP", source
                value = self.ip
            out[row["name"]] = re.sub(r"\$\(([A-Z_]+)\)", lambda m: out.get(m[1], m[0]), value)
        out["KUBERNETES_SERVICE_HOST"], out["KUBERNETES_SERVICE_PORT"] = API_SERVER, "443"
        return out

    def drive(self, made):
        """One look: what has ended, what has to begin; then what the API server shall know."""
        if made["metadata"].get("deletionTimestamp"):
            return self.end(made["metadata"].get("deletionGracePeriodSeconds", 30))
        again = self.spec.get("restartPolicy", "Always")
        for c in self.containers:
            if c.is_running() or time.monotonic() < c.not_before:
                continue
            if c.process is None or again == "Always" or (again == "OnFailure" and c.process.returncode):
                c.not_before = time.monotonic() + 2  # for the next time
                try:
                    c.start()
                except requests.HTTPError as e:  # a Secret is not there, or not any more: later
                    if e.response.status_code != 404:
                        raise
        self.tell()
        return True

    def end(self, grace_s):
        """True while it is there."""
        if self.ending_since is None:
            self.ending_since = time.monotonic()
            for c in self.containers:
                if c.is_running():
                    c.process.send_signal(signal.SIGTERM)
        if any(c.is_running() for c in self.containers):
            if time.monotonic() - self.ending_since > grace_s:
                self.kill()
            self.tell()
            return True
        self.tell()
        self.leave()
        self.machine.ask("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})
        return False

    def kill(self):
        """kill -9 of all its processes."""
        for c in self.containers:
            if c.is_running():
                os.killpg(c.process.pid, signal.SIGKILL)
                c.process.wait(timeout=60)

    def phase(self):
        if any(c.is_running() for c in self.containers) or self.spec.get("restartPolicy", "Always") == "Always":
            return "Running"
        codes = [c.process.returncode for c in self.containers]
        if any(codes) and self.spec["restartPolicy"] == "OnFailure":
            return "Running"
        return "Failed" if any(codes) else "Succeeded"

    def tell(self):
        ready = [c.is_ready() for c in self.containers]
        is_ready = "True" if all(ready) and not self.ending_since else "False"
        states = [c.status(r) for c, r in zip(self.containers, ready)]
        phase = self.phase()
        said = (phase, is_ready, [(s["restartCount"], list(s["state"])) for s in states])
        if said == self.said:
            return
        self.machine.ask("PATCH", self.path + "/status", {"status": {
            "phase": phase, "podIP": self.ip, "podIPs": [{"ip": self.ip}], "startTime": self.started,
            "conditions": [{"type": kind, "status": value, "lastTransitionTime": now()} for kind, value in (
                ("Initialized", "True"), ("ContainersReady", is_ready), ("Ready", is_ready))],
            "containerStatuses": states}})
        self.said = said

    def output(self):
        out = ""
        for c in self.containers:
            if os.path.exists(c.log):
                with open(c.log, encoding="utf-8", errors="replace") as f:
                    out += f"--- {self.namespace}/{self.name} {c.name}\n" + "".join(f.readlines()[-20:])
        return out


class Kubelet:
    """images: {a part of an image's name: Image}; fixed: {namespace: address} for its one pod."""

    def __init__(self, plane, images, fixed=None):
        self.plane = plane
        self.images = images
        self.folder = tempfile.mkdtemp(prefix="kubelet-")
        os.chmod(self.folder, 0o755)
        self.fixed = fixed or {}
        self.extra = set()  # (name, address) that a DNS outside would know
        self.pods = {}  # by uid
        self.addresses = (f"{NETWORK}.{n // 250 + 1}.{n % 250 + 1}" for n in itertools.count())
        self.session = requests.Session()
        self.session.trust_env = False  # a CA of this machine would come before ours
        self.session.headers["Authorization"] = "Bearer " + ADMIN
        self.session.verify = plane.path("certificates/apiserver.crt")
        self.rules = self.names = None
        self.wrong = None
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.main)
        urllib3.disable_warnings()  # a kubelet does not look at the certificates of probes

    def ask(self, method, path, body=None):
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        answer = self.session.request(method, f"https://127.0.0.1:{self.plane.port}{path}", json=body, timeout=60,
                                      headers={"Content-Type": kind})
        if answer.status_code in (404, 409) and method in ("PATCH", "DELETE"):
            return None  # it is gone, or another one has its name
        answer.raise_for_status()
        return answer.json()

    def get(self, path):
        return self.ask("GET", path)

    # --- services -----------------------------------------------------------------------------------

    def hosts_of(self, namespace):
        """The file of names that pods of the namespace see; written when Services change."""
        path = os.path.join(self.folder, "hosts-" + namespace)
        if not os.path.exists(path):
            self.names = None
            with open(path, "w", encoding="ascii"):
                pass
        return path

    def write_names(self, rows):
        """rows: (namespace, name, address). Written in place: the files are mounted."""
        for file in [f for f in os.listdir(self.folder) if f.startswith("hosts")]:
            own = file.partition("-")[2]
            text = "127.0.0.1 localhost\n"
            for namespace, name, address in rows:
                full = [f"{name}.{namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")]
                text += f"{address} {' '.join(full + ([name] if namespace == own else []))}\n"
            text += "".join(f"{address} {name}\n" for name, address in self.extra)
            with open(os.path.join(self.folder, file), "w", encoding="ascii") as f:
                f.write(text)

    def serve(self):
        """Names and ClusterIPs as Services and EndpointSlices say now."""
        behind, names = {}, []
        rules = [f"-A PREROUTING -d {API_SERVER}/32 -p tcp --dport 443 -j DNAT "
                 f"--to-destination 127.0.0.1:{self.plane.port}"]
        for s in self.get("/apis/discovery.k8s.io/v1/endpointslices")["items"]:
            service = (s["metadata"]["namespace"], s["metadata"].get("labels", {}).get("kubernetes.io/service-name"))
            ready = [e["addresses"][0] for e in s.get("endpoints") or [] if e["conditions"].get("ready")]
            for port in s.get("ports") or []:
                behind.setdefault(service, {}).setdefault(port.get("name"), []).extend(
                    f"{a}:{port['port']}" for a in ready)
        for s in self.get("/api/v1/services")["items"]:
            meta, spec = s["metadata"], s["spec"]
            rows = behind.get((meta["namespace"], meta["name"]), {})
            if "clusterIP" not in spec:  # ExternalName
                continue
            if spec["clusterIP"] == "None":
                names += [(meta["namespace"], meta["name"], a.partition(":")[0])
                          for a in next(iter(rows.values()), [])]
                continue
            names.append((meta["namespace"], meta["name"], spec["clusterIP"]))
            for port in spec.get("ports", []):
                found = rows.get(port.get("name"), [])
                for n, to in enumerate(found):
                    rules += [f"-A {chain} -d {spec['clusterIP']}/32 -p tcp --dport {port['port']} -m statistic "
                              f"--mode random --probability {1 / (len(found) - n):.6f} -j DNAT --to-destination {to}"
                              for chain in ("PREROUTING", "OUTPUT")]
        if rules != self.rules:
            command("iptables-restore", text="*nat\n" + "\n".join(rules) + f"\n-A POSTROUTING -s {NETWORK}.0.0/16 "
                    f"-d {NETWORK}.0.0/16 -m conntrack --ctstate DNAT -j MASQUERADE\nCOMMIT\n")
            self.rules = rules
        if (names, self.extra) != self.names:
            self.names = (names, set(self.extra))
            self.write_names(names)

    # --- the loop -----------------------------------------------------------------------------------

    def look(self):
        there = {}
        for made in self.get("/api/v1/pods")["items"]:
            meta = made["metadata"]
            there[meta["uid"]] = made
            if meta["uid"] in self.pods or not made["spec"].get("nodeName"):
                continue
            if meta.get("deletionTimestamp"):
                self.ask("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                         {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
                continue
            address = self.fixed.get(meta["namespace"]) or next(self.addresses)
            self.pods[meta["uid"]] = Pod(self, made, address)
            self.pods[meta["uid"]].join()
        self.serve()
        for uid, pod in list(self.pods.items()):
            if uid not in there:  # removed by force
                pod.kill()
                pod.leave()
                del self.pods[uid]
            elif not pod.drive(there[uid]):
                del self.pods[uid]

    def main(self):
        while not self.ends.wait(POLL_S):
            try:
                self.look()
            except Exception:  # pylint: disable=broad-except
                if self.wrong is None:
                    traceback.print_exc()
                self.wrong = traceback.format_exc()

    def pod(self, namespace, name):
        return next(p for p in list(self.pods.values()) if (p.namespace, p.name) == (namespace, name))

    def output(self, namespace):
        return "\n".join(p.output() for p in list(self.pods.values()) if p.namespace == namespace)

    def __enter__(self):
        own = os.path.join(self.folder, "hosts")
        with open(own, "w", encoding="ascii"):
            pass
        command("mount", "--bind", own, "/etc/hosts")
        self.write_names([])
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.ends.set()
        self.thread.join(timeout=120)
        for pod in self.pods.values():
            pod.kill()
            pod.leave()
        command("umount", "/etc/hosts")
        shutil.rmtree(self.folder, ignore_errors=True)


def image_of(folder, archive):
    """The root of an OCI archive, unpacked below folder, and what its settings say."""
    settings = json.loads(command("skopeo", "inspect", "--config", "oci-archive:" + archive))["config"]
    command("skopeo", "copy", "--quiet", "oci-archive:" + archive, f"oci:{folder}/oci:one")
    command("umoci", "unpack", "--image", f"{folder}/oci:one", folder + "/bundle")
    os.chmod(folder + "/bundle", 0o755)
    return Image(folder + "/bundle/rootfs", settings["Entrypoint"],
                 dict(word.split("=", 1) for word in settings["Env"]), int(settings["User"].split(":")[0]))
