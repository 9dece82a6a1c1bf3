"""The page of a store in PostgreSQL."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.opening import open_saver
from tests.servers import SECRET
from tests.views import graphs
from tests.web.conftest import served
from tests.workflows.steps import Steps


def test_page_of_a_connection_string(database: str) -> None:
    name = f"{database}&schema=agents"
    steps = Steps()
    with open_saver(name) as saver:
        graphs.chat(saver)  # type: ignore[arg-type]
        steps.leave_waiting(saver, "waiting")
    with served(name, allow_changes=True, graph=steps.builder) as client:
        pages = [
            client.ask(path) for path in ("/", "/thread?thread=chat", "/statistics", "/nowhere")
        ]
        pages.append(client.ask("/thread?thread=missing"))
        assert [page.status for page in pages] == [200, 200, 200, 404, 404]
        for page in pages:
            assert SECRET not in page.text
        assert "PostgreSQL host=" in pages[0].text
        assert "waiting" in pages[0].text
        assert "Oslo" in pages[1].text
