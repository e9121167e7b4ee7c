"""The published figures are those that the paper prints."""

import pandas as pd

from harness.published.paper import read_published
from harness.score_table import PACKAGED
from reference.ablation_conditions import PUBLISHED

TABLE_2 = """
APE	17.28	0.8631
SRCNN[2].	19.27	0.8992
Johnson et al[1].	20.32	0.9161
resnet-12-64[17]	22.43	0.9203
resnet-8-32[17]	22.57	0.9163
DPED[3]	20.08	0.9201
ours normal	22.98	0.9235
ours high-performance	22.73	0.9206
"""
TABLES_3_AND_4 = """
Method	SRCNN	ResNet-12-64	ResNet8-32	DPED	ours normal	ours high-performance
NIQE value	6.55	9.37	7.61	6.82	6.00	5.90
running time(ms)	2044	12539	3928	16072	1148	806
"""
TABLE_5 = """
no contextual loss	22.44	0.9114	6.43
no adversarial loss	22.64	0.9173	5.64
no L1 loss	21.79	0.9121	5.08
no color loss	22.17	0.9166	6.07
no perceptual loss	22.72	0.9158	5.32
no total variation loss	22.53	0.9171	6.13
full losses and noise	22.98	0.9235	6.00
no noise	22.84	0.9207	6.87
"""
FIGURE_8 = """
MIPhoenix	21.99	0.9125	2.6804	682	64	1472	2187	1.4GB	14.72	20.06	19.11
Eds	21.66	0.9048	2.6523	3241	253	5153	Out of memory	2.3GB	7.18	12.94	9.36
BOE-SBG	21.99	0.9079	2.6283	1620	111	1802	2321	1.6GB	10.39	14.61	12.62
MENet	22.22	0.9086	2.6108	1465	138	2279	3459	1.8GB	11.62	14.77	13.47
Rainbow	21.96	0.9067	2.5993	608	111	-	-	1.6GB	13.19	16.31	16.93
KANST-VCLAB	21.56	0.8948	2.5123	2153	161	3200	4701	2.3GB	6.84	9.84	8.66
SNPR	22.03	0.9042	2.466	1448	81	1987	3061	1.6GB	9.86	10.43	11.06
DPED-Baseline	21.38	0.9034	2.4111	20452	1517	37003	Out of memory	3.7GB	2.89	4.9	3.32
Geometry	21.79	0.9068	2.4324	833	83	1209	1843	1.6GB	12.0	12.69	14.05
IV SR+	21.6	0.8957	2.4309	1375	125	1812	2508	1.6GB	8.13	9.26	10.05
SRCNN-Baseline	21.31	0.8929	2.296	3274	204	6890	11593	2.6GB	3.22	2.29	3.49
TEAM.ALEX	21.87	0.9036	2.1196	781	70	962	1436	1.6GB	10.21	3.82	10.81
"""
"""Each as the paper prints it."""


def read_lines(table: str) -> list[list[str]]:
    return [line.split("\t") for line in table.strip().splitlines()]


def test_table_2() -> None:
    methods = read_published().methods
    assert [(m.psnr, m.ssim) for m in methods] == [tuple(map(float, row[1:])) for row in read_lines(TABLE_2)]
    titles = [row[0].split("[")[0].lower().rstrip(".") for row in read_lines(TABLE_2)]
    assert [method.title.lower().rstrip(".") for method in methods] == titles


def test_tables_3_and_4() -> None:
    titles, niqe, times = read_lines(TABLES_3_AND_4)
    methods = {method.title: method for method in read_published().methods}
    for title, value, time in zip(titles[1:], niqe[1:], times[1:], strict=True):
        method = methods.pop(title.replace("ResNet8", "ResNet-8"))
        assert (method.niqe, method.time_ms) == (float(value), float(time))
    assert {(title, m.niqe, m.time_ms) for title, m in methods.items()} == {
        ("APE", None, None),
        ("Johnson et al.", None, None),
    }


def test_table_5() -> None:
    conditions = read_published().conditions
    assert [[c.title, c.psnr, c.ssim, c.niqe] for c in conditions] == [
        [title, *map(float, values)] for title, *values in read_lines(TABLE_5)
    ]


def test_the_ablation_trains_what_table_5_has() -> None:
    printed = [(c.name, c.title, c.psnr, c.ssim, c.niqe) for c in read_published().conditions]
    assert [(c.name, c.title, c.psnr_db, c.ssim, c.niqe) for c in PUBLISHED] == printed


def test_final_table() -> None:
    shown = {"Out of memory": "OOM", "-": "", "KANST-VCLAB": "KAIST-VICLAB"}
    printed = [[shown.get(cell, cell.removesuffix("GB")) for cell in row] for row in read_lines(FIGURE_8)]
    packaged = pd.read_csv(PACKAGED["published:final"], dtype=str, keep_default_na=False)
    assert packaged.to_numpy().tolist() == printed
    assert packaged["team"].is_unique
    assert read_published().final_table.file == PACKAGED["published:final"].name


def test_every_method_has_a_submission_or_a_reason() -> None:
    assert all(bool(method.submission) != bool(method.not_run) for method in read_published().methods)
