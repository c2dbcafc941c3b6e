#!/usr/bin/env python3
"""An independent check of the cell models: random transients, integrated here by SciPy and by `bioxen simulate`.

Written from the published equations (Weisse et al., PNAS 2015;112:E1038) and the documented extensions alone; it
shares no code with the program. Every chloramphenicol-bound complex z_x is a variable of its own here.

    python3 cells.py --bioxen PATH --count 50 [--seed S]

Needs numpy and scipy. Exit code 0 if every transient agrees at 7, 13 and 60 minutes on every significant variable.
"""

import argparse
import csv
import io
import math
import random
import subprocess
import sys

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import root

CLASSES = "rtmqp"
MINUTES = (7.0, 13.0, 60.0)
END = 60.0
PER_CM = 0.005990373118888
MOST_UNITS = {"syn3a": 15, "ecoli": 30, "minimal_cell": 12, "weisse2015": 15}
# td, M, nr, nx, R, gmax, act, phiE, a*, dm
TABLE = {
    "syn3a": (105, 29.64e6, 6775, 382.5, 503, 720, 0.8, 0.434, 73_700, 0.2006),
    "minimal_cell": (180, 29.64e6, 6775, 382.5, 503, 720, 0.8, 0.434, 73_700, 0.2006),
    "ecoli": (30, 2.15e9, 7549, 300, 44_000, 1800, 0.85, 0.346, 1.0e7, 0.315),
}
REFERENCE = dict(
    thr=426.8693338968694, thx=4.379733394834643, Kq=152219.0403737490, nq=4, Kp=180.1378030928276,
    wr=929.9678874564831, wt=4.139172187824451, wm=4.139172187824451, wq=948.9349882947897, wp=0.0, gmax=1260,
    nr=7549, nx=300, M=1e8, kb=1, ku=1, dm=0.1, s0=1e4, vt=726, Kt=1000, vm=5800, Km=1000, ns=0.5, cl=0.0,
    k_cm=PER_CM, ks=10.0,
)
# Positions in the state: m, c, z by class, then proteins and the rest.
MRNA, COMPLEX, BOUND = slice(0, 5), slice(5, 10), slice(10, 15)
PROTEIN = slice(15, 19)  # t, m, q, p
FREE, IDLE, NUTRIENT, ENERGY = 19, 20, 21, 22
SIZE = 23


def rates_of(p, atp, cap):
    """The right-hand side under parameters `p`, energy factor `atp` and cap `cap` (None: no cap)."""
    length = np.array([p["nr"], p["nx"], p["nx"], p["nx"], p["nx"]], dtype=float)
    highest = np.array([p["wr"], p["wt"], p["wm"], p["wq"], p["wp"]], dtype=float)
    threshold = np.array([p["thr"], p["thx"], p["thx"], p["thx"], p["thx"]], dtype=float)
    half = p["Kg"] if "Kg" in p else p["gmax"] / p["Kp"]
    f = p["cl"] * p["k_cm"]

    def rhs(_, y):
        m, c, z = y[MRNA], y[COMPLEX], y[BOUND]
        et, em, q, _p = y[PROTEIN]
        r, idle, si, a = y[FREE], y[IDLE], y[NUTRIENT], y[ENERGY]
        gamma = p["gmax"] * a / (half + a)
        lam = gamma * c.sum() / p["M"]
        w = highest * a / (threshold + a)
        w[3] /= 1.0 + (q / p["Kq"]) ** p["nq"]
        done = gamma / length * c
        bind = p["kb"] * r * m
        vimp = et * p["vt"] * p["s0"] / (p["Kt"] + p["s0"])
        vcat = em * p["vm"] * si / (p["Km"] + si)
        up = down = 0.0
        if cap is not None:
            active = r + c.sum()
            up = p["ks"] * max(0.0, active - cap) * r / (1.0 + r)
            down = p["ks"] * max(0.0, cap - active) * idle / (1.0 + idle)
        dy = np.empty(SIZE)
        dy[MRNA] = w + p["ku"] * c + done - bind - (p["dm"] + lam) * m
        dy[COMPLEX] = bind - p["ku"] * c - done - (f + lam) * c
        dy[BOUND] = f * c - lam * z
        dy[PROTEIN] = done[1:] - lam * y[PROTEIN]
        dy[FREE] = (p["ku"] * c + done - bind).sum() + done[0] - lam * r + down - up
        dy[IDLE] = up - down - lam * idle
        dy[NUTRIENT] = vimp - vcat - lam * si
        dy[ENERGY] = p["ns"] * atp * vcat - gamma * c.sum() - lam * a
        return dy

    return rhs


def calibrated(chassis, overrides):
    """Constants and steady state of a calibrated chassis, td, R, act and phiE taken from `overrides`."""
    td, mass, nr, nx, ribosomes, gmax, act, phi_e, energy, dm = TABLE[chassis]
    td, ribosomes = overrides.get("td", td), overrides.get("R", ribosomes)
    act, phi_e = overrides.get("act", act), overrides.get("phiE", phi_e)
    ns, s0, kt, km, si, kb, ku = 0.5, 1e4, 1000.0, 1000.0, 128.4, 1.0, 1.0
    lam = math.log(2) / td
    active = act * ribosomes
    gamma = lam * mass / active
    free = ribosomes - active
    enzyme = phi_e * mass / nx / 2
    house = (1 - nr * ribosomes / mass - phi_e) * mass / nx
    protein = np.array([ribosomes, enzyme, enzyme, house, 0.0])
    length = np.array([nr, nx, nx, nx, nx], dtype=float)
    c = lam * protein * length / gamma
    m = (ku + gamma / length + lam) * c / (kb * free)
    thr, thx = 426.8693 * energy / 10.7048, 4.37973 * energy / 10.7048
    share = energy / (np.array([thr, thx, thx, thx, thx]) + energy)
    w = ((dm + lam) * m + lam * c) / share
    kq = house / 1.567
    w[3] *= 1 + (house / kq) ** 4
    vcat = lam * (mass + energy) / ns
    p = dict(
        thr=thr, thx=thx, Kq=kq, nq=4, Kg=energy * (gmax / gamma - 1), wr=w[0], wt=w[1], wm=w[2], wq=w[3], wp=0.0,
        gmax=gmax, nr=nr, nx=nx, M=mass, kb=kb, ku=ku, dm=dm, s0=s0, Kt=kt, Km=km, ns=ns, cl=0.0, k_cm=PER_CM,
        ks=50.0, vm=vcat * (km + si) / si / enzyme, vt=(vcat + lam * si) * (kt + s0) / s0 / enzyme,
    )
    y = np.zeros(SIZE)
    y[MRNA], y[COMPLEX], y[PROTEIN] = m, c, protein[1:]
    y[FREE], y[NUTRIENT], y[ENERGY] = free, si, energy
    return p, y, ribosomes


def reference_steady_state():
    """By the published parameters, from the published initial state."""
    rhs = rates_of(REFERENCE, 1.0, None)
    y = np.zeros(SIZE)
    y[FREE], y[ENERGY] = 10.0, 1000.0
    y = solve_ivp(rhs, (0, 20_000), y, method="BDF", rtol=1e-10, atol=1e-10).y[:, -1]
    live = y > 1e-9
    scale = np.where(live, y, 1.0)

    def residual(x):
        return rhs(0, np.where(live, x * scale, 0.0))[live]

    def full(x):
        whole = np.zeros(SIZE)
        whole[live] = x
        return residual(whole)

    found = root(full, np.ones(live.sum()), method="hybr", tol=1e-14)
    refined = np.zeros(SIZE)
    refined[live] = found.x * scale[live]
    assert np.allclose(refined, y, rtol=1e-6, atol=1e-9), "the steady state moved"
    return refined


class Cell:
    """A chassis under settings; what holds at a moment."""

    _reference = None

    def __init__(self, chassis, settings, atp, cap):
        self.chassis, self.settings, self.atp, self.cap = chassis, dict(settings), atp, cap

    def baseline(self):
        if self.chassis != "weisse2015":
            return calibrated(self.chassis, self.settings)
        if Cell._reference is None:
            Cell._reference = reference_steady_state()
        y = Cell._reference
        return dict(REFERENCE), y.copy(), y[FREE] + y[COMPLEX].sum()

    def rhs(self):
        p, _, complement = self.baseline()
        for name, value in self.settings.items():
            if name in ("td", "R", "act", "phiE"):
                continue
            p[name] = value
            if name == "Kp":
                p.pop("Kg", None)
        return rates_of(p, self.atp, self.cap_molecules(complement))

    def cap_molecules(self, complement):
        if self.cap is None:
            return None
        unit, value = self.cap
        if unit == "molecules":
            return value
        most = MOST_UNITS[self.chassis]
        return None if value == most else complement * value / most


def draw(rng):
    """One random transient: cell, change, command line."""
    chassis = rng.choice(list(MOST_UNITS))
    most = MOST_UNITS[chassis]
    settings, args = {}, []

    def log_uniform(low, high):
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def parameter():
        name = rng.choice(["s0", "s0", "cl", "cl", "ns", "wp", "vt", "vm", "Km", "Kt", "dm", "kb", "ku", "nq"])
        return name, {
            "s0": lambda: log_uniform(30, 1e6), "cl": lambda: rng.uniform(0.2, 12), "ns": lambda: rng.uniform(0.1, 0.8),
            "wp": lambda: log_uniform(1, 300), "vt": lambda: log_uniform(200, 2000),
            "vm": lambda: log_uniform(1500, 15000), "Km": lambda: log_uniform(300, 3000),
            "Kt": lambda: log_uniform(300, 3000), "dm": lambda: rng.uniform(0.05, 0.5),
            "kb": lambda: rng.uniform(0.4, 2.5), "ku": lambda: rng.uniform(0.4, 2.5), "nq": lambda: rng.uniform(2, 5),
        }[name]()

    def recalibration():
        if chassis == "ecoli":
            return rng.choice([("td", rng.uniform(27, 60)), ("act", rng.uniform(0.75, 0.9)), ("phiE", rng.uniform(0.2, 0.5))])
        return rng.choice([
            ("td", rng.uniform(95, 240)), ("R", rng.uniform(480, 600)), ("act", rng.uniform(0.76, 0.9)),
            ("phiE", rng.uniform(0.3, 0.5)),
        ])

    for _ in range(rng.randint(0, 2)):
        name, value = parameter()
        settings[name] = value
    if chassis != "weisse2015" and rng.random() < 0.3:
        name, value = recalibration()
        settings[name] = value
    atp = rng.choice([100.0, round(rng.uniform(10, 130), 3)])

    def cap():
        kind = rng.random()
        if kind < 0.35:
            return None
        if kind < 0.75:
            return "units", rng.randint(2, most)
        complement = {"syn3a": 503, "minimal_cell": 503, "ecoli": 44_000, "weisse2015": 3188}[chassis]
        return "molecules", complement * rng.uniform(0.15, 1.2)

    first = cap()
    start = Cell(chassis, settings, atp / 100, first)
    for name, value in settings.items():
        args += ["--set", f"{name}={value!r}"]
    if atp != 100.0:
        args += ["--atp", repr(atp)]
    if first:
        args += ["--ribosomes" if first[0] == "units" else "--ribosome-cap", repr(first[1])]

    minute = rng.randint(1, 590) / 10
    after = Cell(chassis, settings, atp / 100, first)
    kinds = ["parameter", "parameter", "atp", "cap", "lift", "none"]
    kind = rng.choice(kinds + (["recalibration"] if chassis != "weisse2015" else []))
    if kind in ("parameter", "recalibration"):
        name, value = parameter() if kind == "parameter" else recalibration()
        after.settings[name] = value
        args += ["--at", f"{minute!r}:{name}={value!r}"]
    elif kind == "atp":
        percent = round(rng.uniform(10, 120), 3)
        after.atp = percent / 100
        args += ["--at", f"{minute!r}:atp={percent!r}"]
    elif kind in ("cap", "lift"):
        after.cap = ("units", most) if kind == "lift" else cap()
        if after.cap is None:
            after.cap = ("units", most)
        name = "ribosomes" if after.cap[0] == "units" else "ribosome_cap"
        args += ["--at", f"{minute!r}:{name}={after.cap[1]!r}"]
    return start, after, minute, [chassis, *args]


def trajectory(start, after, minute, method):
    """States at MINUTES by SciPy."""
    _, y, _ = start.baseline()
    states = {}
    for cell, begin, end in ((start, 0.0, minute), (after, minute, END)):
        _, _, complement = cell.baseline()
        if cell is after and cell.cap_molecules(complement) is None:
            y[FREE] += y[IDLE]
            y[IDLE] = 0.0
        at = sorted({t for t in MINUTES if begin < t <= end} | {end})
        # Differenced Jacobians let one method or another stall on rounding now and then: then the next one.
        for chosen in dict.fromkeys((method, "BDF", "Radau")):
            run = solve_ivp(cell.rhs(), (begin, end), y, method=chosen, t_eval=at, rtol=1e-9, atol=1e-9)
            if run.success:
                break
        assert run.success, f"SciPy did not get through: {run.message}"
        for t, state in zip(run.t, run.y.T):
            # A change exactly at a compared minute: the state right after it counts.
            states[round(float(t), 6)] = state
        y = run.y[:, -1].copy()
        if end == minute and end in MINUTES:
            _, _, complement = after.baseline()
            if after.cap_molecules(complement) is None:
                lifted = y.copy()
                lifted[FREE] += lifted[IDLE]
                lifted[IDLE] = 0.0
                states[round(end, 6)] = lifted
    return {t: states[t] for t in MINUTES}


def named(y):
    state = {f"m_{x}": y[MRNA][i] for i, x in enumerate(CLASSES)}
    state |= {f"c_{x}": y[COMPLEX][i] for i, x in enumerate(CLASSES)}
    state |= dict(zip(("e_t", "e_m", "q", "p"), y[PROTEIN]))
    state |= dict(r=y[FREE], z_bound=y[BOUND].sum(), z_idle=y[IDLE], s_i=y[NUTRIENT], a=y[ENERGY])
    return state


def simulated(bioxen, args):
    """States at MINUTES by the program."""
    command = [bioxen, "simulate", *args, "--minutes", str(END), "--every", "1", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    rows = {float(row["minute"]): row for row in csv.DictReader(io.StringIO(done.stdout))}
    return {t: {name: float(value) for name, value in rows[t].items()} for t in MINUTES}


def deviation(expected, found):
    """The worst relative deviation over the significant variables, and where. A pool below a thousandth of a molecule
    (an empty class, a cap that does not bind) is not significant."""
    worst = (0.0, "")
    for minute, y in expected.items():
        for name, value in named(y).items():
            size = max(abs(value), 1e-3)
            worst = max(worst, (abs(found[minute][name] - value) / size, f"{name} at {minute:g} min"))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bioxen", required=True, help="the program to check")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--bound", type=float, default=1e-4, help="largest relative deviation that passes")
    parser.add_argument("--method", default="BDF", choices=["BDF", "Radau", "LSODA"])
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    rng = random.Random(seed)
    worst, failed = (0.0, "", ""), 0
    for number in range(1, options.count + 1):
        start, after, minute, args = draw(rng)
        text = " ".join(args)
        try:
            size, where = deviation(trajectory(start, after, minute, options.method), simulated(options.bioxen, args))
        except (RuntimeError, AssertionError) as error:
            print(f"transient {number}: {text}: {error}")
            failed += 1
            continue
        worst = max(worst, (size, where, text))
        if size > options.bound:
            print(f"transient {number}: {size:.3g} in {where}: {text}")
            failed += 1
    print(f"{options.count - failed} of {options.count} agree; worst {worst[0]:.3g} in {worst[1]}: {worst[2]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
