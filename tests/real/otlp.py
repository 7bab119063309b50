"""OTLP as the protocol's own definitions read it: every request is parsed into the messages of opentelemetry-proto, strictly."""

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from api import Api, policy, serve, told
from gate import Gate

SINK = """[[audit.sinks]]
name = "collector"
otlp = "http://127.0.0.1:{port}/"
allow_http = true
credential = {{ header = {{ name = "api-key", value = {{ env = "KEY" }} }} }}
"""
KEY = "key+of/the-collector"


class Server(Api):
    """The API and the collector in one."""

    logs, metrics, wrong = [], [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            assert (self.headers["content-type"], self.headers["api-key"]) == ("application/json", KEY)
            kind, kept = {
                "/v1/logs": (ExportLogsServiceRequest, self.logs),
                "/v1/metrics": (ExportMetricsServiceRequest, self.metrics),
            }[self.path]
            # Unknown members and wrong types are errors.
            kept.append(json_format.Parse(body, kind()))
        except Exception as error:
            self.wrong.append((self.path, repr(error), body))
        self.answer(json_format.MessageToJson(ExportLogsServiceResponse()).encode())


def main():
    port = serve(Server)
    gate = Gate(policy("otlp", port, SINK.format(port=port), "/api/**"), {"KEY": KEY})
    with gate:
        for number in range(30):
            assert not gate.get(f"/api/{number}").refused
        assert gate.get("/elsewhere").code == "denied"
    assert Server.wrong == [], Server.wrong
    [(name, log)] = gate.logs.items()
    records = [
        record for request in Server.logs for resource in request.resource_logs for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert [record.body.string_value for record in records] == log.splitlines(), "every record once and in order"
    for record in records:
        attributes = {pair.key: pair.value for pair in record.attributes}
        line = record.body.string_value
        seq, kind, digest = told(line)
        assert (attributes["portcullis.seq"].int_value, attributes["portcullis.kind"].string_value) == (seq, kind)
        assert attributes["portcullis.hash"].string_value == digest
        assert attributes["log.file.name"].string_value == name
        assert 0 < record.time_unix_nano <= record.observed_time_unix_nano
    metrics = {
        metric.name: metric for resource in Server.metrics[-1].resource_metrics for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    counts = {point.attributes[0].value.string_value: point.as_int for point in metrics["portcullis.calls"].sum.data_points}
    assert counts == {"allow": 30, "deny": 1}, counts
    points = metrics["portcullis.call.duration"].histogram.data_points
    assert sum(point.count for point in points) == 31
    assert all(sum(point.bucket_counts) == point.count for point in points)
    assert [point.as_int for point in metrics["portcullis.sink.waiting"].gauge.data_points] == [0]
    assert [point.as_int for point in metrics["portcullis.sink.refused"].sum.data_points] == [0]
    print(f"otlp: {len(records)} log records and {len(metrics)} metrics as opentelemetry-proto has them")


main()
