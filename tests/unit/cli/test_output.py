"""What a command prints for people."""

from io import StringIO

from rich.console import Console

from services.cli.output import table


def test_nothing_is_cut_off_where_the_window_is_narrow() -> None:
    """A password or key is shown once: on paper and in a pipe it is whole."""
    address = "amqp://bureau.public_security%40zhida:" + "x7" * 60 + "@127.0.0.1:5672/zhida"
    paper = StringIO()
    Console(file=paper, width=60).print(table(("接入单", ""), [("连接地址", address)]))
    lines = [line.split("│")[2].strip() for line in paper.getvalue().splitlines() if "│" in line]
    assert "".join(lines) == address
