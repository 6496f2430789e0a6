"""An OpenTelemetry collector as far as spans go: takes OTLP/HTTP, and reads it as the protocol's own
messages, strictly: a field that they do not have is a failure.

    with Collector() as collector:
        collector.endpoint, collector.spans, collector.status = 503, collector.stop(), collector.start()
"""

import base64
import http.server
import json
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def with_bytes(value, key=""):
    """OTLP's JSON writes ids as hex, where protobuf's own mapping wants base64."""
    if isinstance(value, dict):
        return {k: with_bytes(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [with_bytes(v, key) for v in value]
    if key in ("traceId", "spanId", "parentSpanId"):
        raw = bytes.fromhex(value)
        assert len(raw) == (16 if key == "traceId" else 8) and any(raw), value
        return base64.b64encode(raw).decode()
    return value


def value_of(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


class Span:
    def __init__(self, span, resource):
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.name, self.kind = span.name, span.kind
        self.begin, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = {a.key: value_of(a.value) for a in span.attributes}
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.is_error = span.status.code == span.status.STATUS_CODE_ERROR
        self.resource = {a.key: value_of(a.value) for a in resource.attributes}


class Collector:
    def __init__(self):
        self.spans, self.posts, self.headers, self.problems = [], 0, {}, []
        self.status = 200
        self.server = None
        self.port = 0

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def take(self, path, headers, body):
        self.posts += 1
        self.headers = headers
        try:
            assert path == "/v1/traces" and headers["content-type"] == "application/json", (path, headers)
            message = json_format.Parse(json.dumps(with_bytes(json.loads(body))), ExportTraceServiceRequest())
        except Exception as problem:  # pylint: disable=broad-except
            self.problems.append(problem)
            return 400
        if self.status == 200:
            self.spans += [Span(s, r.resource) for r in message.resource_spans
                           for scope in r.scope_spans for s in scope.spans]
        return self.status

    def start(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                self.send_response(collector.take(self.path, headers, body))
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()
        assert not self.problems, self.problems
