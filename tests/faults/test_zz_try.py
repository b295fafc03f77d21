import time, pytest, sys
import tests.faults.rig as rig, tests.faults.house as h
from tests.faults.test_actor_crashes import crash, pairs, unlimited, Fault, quicken, Saboteur, House, running
from core.messages import *
def test_it(tmp_path, monkeypatch):
    monkeypatch.setattr(rig, "GUARD_S", 5.0)
    quicken(monkeypatch, change=unlimited)
    saboteur, house = Saboteur(monkeypatch), House()
    name = "recorder"
    kinds = [kind for actor, kind in pairs() if actor == name]
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        for kind in kinds:
            t=time.time(); n=len(run.tap.messages)
            try:
                crash(run, house, saboteur, Fault(name, kind.__name__, "before"), kind)
                print(kind.__name__, round(time.time()-t,2))
            except AssertionError as e:
                print(kind.__name__, "FAILED", e)
                from collections import Counter
                for m in run.tap.messages[-12:]: print("   ", m)
                print(run.crashes[-1])
                q=__import__("pykka").ActorRegistry.get_all(); qq=[r for r in q if run.epoch("quoter")==r._actor_weakref().vitals.epoch][0]._actor_weakref().core; print(vars(qq)); print(vars(qq.ledger))
                print("ORDERS", house.maker.open_orders, time.monotonic())
                raise
        print(run.end())
