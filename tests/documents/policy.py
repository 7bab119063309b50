"""Policies that open a whole document."""

ENV = {"KEY": "documents+key/of-this-test"}
METHODS = '["GET", "POST", "PUT", "PATCH", "DELETE"]'


def policy(document: str, port: int, writes: bool, tools: str = "") -> str:
    """Everything that `document` describes: its reads, and with `writes` the rest, which nobody confirms."""
    methods = METHODS if writes else '["GET"]'
    confirm = 'confirm = "never"\n' if writes else ""
    return f"""version = 1
name = "documents"
[upstream]
base_url = "http://127.0.0.1:{port}/"
openapi = "{document}"
allow_http = true
[upstream.credential]
bearer = {{ env = "KEY" }}
[access]
writes = {str(writes).lower()}
[[allow]]
id = "everything"
methods = {methods}
paths = ["/**"]
{confirm}{tools}"""


TYPED = '[tools]\nmode = "typed"\nmax_bytes = "16MiB"\n'
