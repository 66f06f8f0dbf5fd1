"""An OpenProject in memory, for the demo, rehearsals, tests and benchmarks. Never for real work.

    clock = Clock(datetime(2026, 11, 24, 9, tzinfo=UTC))
    instance = seed(json.loads(Path("tests/recordings/openproject-17.6/instance.json").read_text()), clock)
    ticket = instance.create("ca", "client-alpha", "Bulletin faux")      # as a person, without HTTP
    clock.advance(60)
    instance.set_status("sup", ticket, "In progress")
    instance.comment("sup", ticket, "Pris en charge.")
    instance.moves                                                       # the truth: every single move

    session = requests.Session()                                         # over HTTP, without a socket
    session.mount("http://simulator", InProcess(Api(instance)))
    session.auth = ("apikey", instance.token("bridge"))
    session.get(f"http://simulator/api/v3/work_packages/{ticket.id}/activities").json()

    with serve(Api(instance), port=0) as serving:                        # over loopback
        requests.get(serving.url + "/api/v3", auth=("apikey", instance.token("bridge")))

``InProcess`` takes ``before``/``after`` hooks: people act between two requests, answers get lost or spoilt.
It may not import anything of the bridge that it helps to test.
"""

from bridge.simulator.api import Api
from bridge.simulator.call import Answer
from bridge.simulator.clock import Clock, wall_clock
from bridge.simulator.instance import Instance
from bridge.simulator.nouns import Delivery, Move, Refusal, Remark, Through, Ticket, Webhook
from bridge.simulator.seed import seed
from bridge.simulator.transport import Counting, InProcess, Usage, serve
from bridge.simulator.webhooks import install as install_webhook

__all__ = [
    "Answer",
    "Api",
    "Clock",
    "Counting",
    "Delivery",
    "InProcess",
    "Instance",
    "Move",
    "Refusal",
    "Remark",
    "Through",
    "Ticket",
    "Usage",
    "Webhook",
    "install_webhook",
    "seed",
    "serve",
    "wall_clock",
]
