#!/usr/bin/env python3
"""Packs a case (model.onnx, expected.json, samples/*.npy, calib/*.npy) into a folder of this directory.

    crates/model/tests/cases/pack.py FOLDER...

Not part of CI: needs numpy. `expected.json` holds what onnxruntime gives for each sample.
"""
import json, os, shutil, sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def values(path):
    array = np.load(path).astype(np.float32)
    return [float(f'{x:.9g}') for x in array.reshape(-1)]


for folder in sys.argv[1:]:
    case = json.load(open(os.path.join(folder, 'expected.json')))
    to = os.path.join(HERE, os.path.basename(os.path.normpath(folder)))
    os.makedirs(to, exist_ok=True)
    for name in os.listdir(folder):
        if name == 'model.onnx' or name.endswith('.data'):
            shutil.copy(os.path.join(folder, name), to)
    calib = os.path.join(folder, 'calib')
    calibration = sorted(os.listdir(calib))[:8] if os.path.isdir(calib) else []
    packed = {
        'task': case['task'],
        'expect': case.get('expect', 'refuse'),
        'output': case.get('checked_output'),
        'resolution': case.get('resolution', '1/1024'),
        'integers': any('Quantize' in op or 'Dequantize' in op for op in case.get('ops', {})),
        'samples': [
            {'input': values(os.path.join(folder, s['input'])), 'values': s.get('pre_activation', s['logits'])}
            for s in case['samples'][:2]
        ],
        'calibration': [values(os.path.join(calib, name)) for name in calibration],
    }
    text = json.dumps(packed, separators=(',', ':')).replace('NaN', 'null')
    open(os.path.join(to, 'case.json'), 'w').write(text + '\n')
