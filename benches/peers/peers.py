"""libRoadRunner and COPASI on the work that `benches/peers.rs` gives them.

Reads a line of JSON with the state to start from, then names of measurements, one a line; answers each with a line of
JSON: CPU seconds of one run, and what it led to. Loading a model is not part of a run.
"""

import json
import sys
import time

import COPASI
import models
import roadrunner

MINUTES = 600
RELATIVE, ABSOLUTE = 1e-6, 1e-9


def vilar_roadrunner():
    runner = roadrunner.RoadRunner(models.vilar())
    runner.setIntegrator("gillespie")
    runner.getIntegrator().setValue("variable_step_size", False)
    seed = 0

    def run():
        nonlocal seed
        seed += 1
        runner.getIntegrator().setValue("seed", seed)
        runner.resetAll()
        return timed(lambda: runner.simulate(0, 200, 201)), runner["R"]

    return run


def weisse_roadrunner(sbml):
    runner = roadrunner.RoadRunner(sbml)
    runner.setIntegrator("cvode")
    runner.getIntegrator().setValue("relative_tolerance", RELATIVE)
    runner.getIntegrator().setValue("absolute_tolerance", ABSOLUTE)
    runner.timeCourseSelections = ["time", "a"]

    def run():
        runner.resetAll()
        return timed(lambda: runner.simulate(0, MINUTES, 2)), runner["a"]

    return run


def weisse_copasi(sbml):
    data = COPASI.CRootContainer.addDatamodel()
    assert data.importSBMLFromString(sbml), COPASI.CCopasiMessage.getAllMessageText()
    task = data.getTask("Time-Course")
    task.setMethodType(COPASI.CTaskEnum.Method_deterministic)
    task.getProblem().setDuration(MINUTES)
    task.getProblem().setStepNumber(1)
    task.getProblem().setTimeSeriesRequested(True)
    task.getMethod().getParameter("Relative Tolerance").setDblValue(RELATIVE)
    task.getMethod().getParameter("Absolute Tolerance").setDblValue(ABSOLUTE)

    def run():
        told = []
        seconds = timed(lambda: told.append(task.process(True)))
        assert told == [True], COPASI.CCopasiMessage.getAllMessageText()
        series = task.getTimeSeries()
        titles = [series.getTitle(column) for column in range(series.getNumVariables())]
        at = next(column for column, title in enumerate(titles) if title in ("a", "Values[a]"))
        return seconds, series.getConcentrationData(series.getRecordedSteps() - 1, at)

    return run


def timed(work):
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main():
    sbml = models.weisse2015(json.loads(sys.stdin.readline()), 1000.0)
    makers = {
        "vilar roadrunner": vilar_roadrunner,
        "weisse2015 roadrunner": lambda: weisse_roadrunner(sbml),
        "weisse2015 copasi": lambda: weisse_copasi(sbml),
    }
    made = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in made:
            made[name] = makers[name]()
        seconds, result = made[name]()
        print(json.dumps({"seconds": seconds, "result": result}), flush=True)


if __name__ == "__main__":
    main()
