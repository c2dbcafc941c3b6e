"""The two models of the comparison as SBML text: the Vilar oscillator as reactions, weisse2015 as rate rules.

The figures are the published ones: Vilar et al., PNAS 2002;99:5988; Weisse et al., PNAS 2015;112:E1038.
"""

import re
from xml.sax.saxutils import escape

VILAR = """
DA + A -> DAa, 1      DAa -> DA + A, 50     DR + A -> DRa, 1      DRa -> DR + A, 100
DAa -> DAa + MA, 500  DA -> DA + MA, 50     DRa -> DRa + MR, 50   DR -> DR + MR, 0.01
MA -> MA + A, 50      MR -> MR + R, 5       A + R -> C, 2         C -> R, 1
A -> , 1              R -> , 0.2            MA -> , 10            MR -> , 0.5
"""
VILAR_START = {"DA": 1, "DR": 1, "DAa": 0, "DRa": 0, "MA": 0, "MR": 0, "A": 0, "R": 0, "C": 0}

WEISSE = {
    "thr": 426.8693338968694, "thx": 4.379733394834643, "Kq": 152219.0403737490, "Kp": 180.1378030928276,
    "wr": 929.9678874564831, "wt": 4.139172187824451, "wm": 4.139172187824451, "wq": 948.9349882947897,
    "gmax": 1260.0, "nr": 7549.0, "nx": 300.0, "M": 1e8, "kb": 1.0, "ku": 1.0, "dm": 0.1, "vt": 726.0, "Kt": 1000.0,
    "vm": 5800.0, "Km": 1000.0, "ns": 0.5, "cl": 0.0, "k_cm": 0.005990373118888,
}  # fmt: skip

SBML = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4">
<model id="{name}">
<listOfCompartments><compartment id="cell" size="1" constant="true"/></listOfCompartments>
{body}
</model>
</sbml>
"""


def vilar():
    """The oscillator, as SBML text."""
    species = "".join(
        f'<species id="{name}" compartment="cell" initialAmount="{amount}" hasOnlySubstanceUnits="true"/>'
        for name, amount in VILAR_START.items()
    )
    parameters, reactions = [], []
    found = re.findall(r"(\S[^,\n]*) -> ([^,]*), (\S+)", VILAR)
    assert len(found) == 16, found
    for at, (left, right, rate) in enumerate(found):
        parameters.append(f'<parameter id="k{at}" value="{rate}"/>')
        sides = [[name.strip() for name in side.split("+") if name.strip()] for side in (left, right)]
        lists = [_references(*side) for side in zip(("listOfReactants", "listOfProducts"), sides, strict=True)]
        law = math(" * ".join([f"k{at}", *sides[0]]))
        reactions.append(
            f'<reaction id="r{at}" reversible="false">{"".join(lists)}<kineticLaw>{law}</kineticLaw></reaction>'
        )
    body = (
        f"<listOfSpecies>{species}</listOfSpecies><listOfParameters>{''.join(parameters)}</listOfParameters>"
        f"<listOfReactions>{''.join(reactions)}</listOfReactions>"
    )
    return SBML.format(name="vilar", body=body)


def weisse2015(start, nutrient):
    """The reference cell as SBML text, of these 18 variables at the start and so much external nutrient."""
    growth = "(gamma * (c_r + c_t + c_m + c_q) / M)"
    assignments = {
        "gamma": "gmax * a / (gmax / Kp + a)",
        "lambda": growth,
        "vimp": "e_t * vt * s0 / (Kt + s0)",
        "vcat": "e_m * vm * s_i / (Km + s_i)",
        "f": "cl * k_cm",
    }
    transcription = {
        "r": "wr * a / (thr + a)",
        "t": "wt * a / (thx + a)",
        "m": "wm * a / (thx + a)",
        "q": "wq * a / (thx + a) / (1 + (q / Kq) * (q / Kq) * (q / Kq) * (q / Kq))",
    }
    rates, released = {}, []
    for one, made in transcription.items():
        length = "nr" if one == "r" else "nx"
        freed = f"(ku + gamma / {length}) * c_{one}"
        bound = f"kb * r * m_{one}"
        rates[f"m_{one}"] = f"{made} + {freed} - {bound} - (dm + lambda) * m_{one}"
        rates[f"c_{one}"] = f"{bound} - {freed} - (f + lambda) * c_{one}"
        rates[f"z_{one}"] = f"f * c_{one} - lambda * z_{one}"
        released.append(f"{freed} - {bound}")
    rates["r"] = " + ".join(released) + " + gamma / nr * c_r - lambda * r"
    for protein, one in (("e_t", "t"), ("e_m", "m"), ("q", "q")):
        rates[protein] = f"gamma / nx * c_{one} - lambda * {protein}"
    rates["s_i"] = "vimp - vcat - lambda * s_i"
    rates["a"] = "ns * vcat - gamma * (c_r + c_t + c_m + c_q) - lambda * a"
    constants = WEISSE | {"s0": nutrient}
    parameters = [f'<parameter id="{name}" value="{value!r}"/>' for name, value in constants.items()]
    parameters += [f'<parameter id="{name}" constant="false"/>' for name in assignments]
    parameters += [f'<parameter id="{name}" value="{start.get(name, 0.0)!r}" constant="false"/>' for name in rates]
    rules = [f'<assignmentRule variable="{name}">{math(text)}</assignmentRule>' for name, text in assignments.items()]
    rules += [f'<rateRule variable="{name}">{math(text)}</rateRule>' for name, text in rates.items()]
    body = (
        f"<listOfParameters>{''.join(parameters)}</listOfParameters><listOfRules>{''.join(rules)}</listOfRules>"
    )
    return SBML.format(name="weisse2015", body=body)


def math(text):
    """A sum of products as MathML."""
    tokens = re.findall(r"[A-Za-z_][A-Za-z_0-9]*|[0-9.]+|[-+*/()]", text)
    tree, rest = _sum(tokens)
    assert not rest, rest
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{tree}</math>'


def _references(tag, names):
    inner = "".join(f'<speciesReference species="{name}"/>' for name in names)
    return f"<{tag}>{inner}</{tag}>" if names else ""


def _sum(tokens):
    return _left(tokens, _product, {"+": "plus", "-": "minus"})


def _product(tokens):
    return _left(tokens, _term, {"*": "times", "/": "divide"})


def _left(tokens, inner, names):
    tree, rest = inner(tokens)
    while rest and rest[0] in names:
        right, after = inner(rest[1:])
        tree, rest = f"<apply><{names[rest[0]]}/>{tree}{right}</apply>", after
    return tree, rest


def _term(tokens):
    first, rest = tokens[0], tokens[1:]
    if first == "(":
        tree, rest = _sum(rest)
        return tree, rest[1:]
    if first[0].isdigit():
        return f"<cn>{first}</cn>", rest
    return f"<ci>{escape(first)}</ci>", rest
