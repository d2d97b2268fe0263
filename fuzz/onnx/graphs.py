#!/usr/bin/env python3
"""Differential fuzzing of the ONNX importer: random small graphs, onnxruntime as the oracle.

    cargo build --profile ci -p gazelle-model --example onnx_values
    fuzz/onnx/graphs.py --seconds 1800                  every difference is written to --findings
    fuzz/onnx/graphs.py --seconds 600 --gazelle target/ci/gazelle     a subset through two processes
    fuzz/onnx/graphs.py --store crates/model/tests/graphs --count 300  the set that the tests run

Needs numpy, onnx and onnxruntime. A seed gives the same graph on every run. Compared are the graph as
imported, the lowered graph and the fixed-point network. Exit status 1 if anything differed.
"""
import argparse, collections, json, os, re, shutil, subprocess, sys, tempfile, time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
MOST = 500  # elements of a tensor
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, '..', '..')


class Skip(Exception):
    """This operator does not fit here."""


class Graph:
    def __init__(self, seed):
        self.seed = seed
        self.r = np.random.default_rng(seed)
        self.opset = int(self.r.choice([7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 21, 22, 23, 24, 25]))
        self.nodes, self.constants, self.shapes = [], [], {}
        self.count = 0
        self.squares = 0
        kind = self.r.random()
        n = lambda a, b: int(self.r.integers(a, b + 1))
        if kind < 0.6:
            shape = [1, n(1, 6), n(1, 7), n(1, 7)]
        elif kind < 0.8:
            shape = [1, n(1, 6), n(1, 12)]
        else:
            shape = [1, n(1, 20)]
        self.input = shape
        self.shapes['x'] = shape
        self.live = ['x']

    # helpers
    def n(self, a, b):
        return int(self.r.integers(a, b + 1))

    def coin(self, p=0.5):
        return bool(self.r.random() < p)

    def pick(self, things):
        return things[int(self.r.integers(0, len(things)))]

    def const(self, array, name=None):
        name = name or f'c{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, values):
        return self.const(np.asarray(values, np.int64))

    def floats(self, shape, spread=1.0):
        # few bits: the stored files stay small, and the values exact
        values = np.round(self.r.standard_normal(shape) * spread * 64) / 64
        return np.asarray(values, np.float32)

    def weights(self, shape, fan):
        values = self.r.standard_normal(shape) / max(1.0, fan) ** 0.5
        return np.asarray(np.round(values * 256) / 256, np.float32)

    def node(self, op, inputs, outputs=1, **attributes):
        names = [f'{op.lower()}{self.count}_{i}' if outputs > 1 else f'{op.lower()}{self.count}' for i in range(outputs)]
        self.count += 1
        node = helper.make_node(op, inputs, names, name=names[0], **attributes)
        self.nodes.append(node)
        return names

    def model(self, outputs):
        inputs = [helper.make_tensor_value_info('x', TensorProto.FLOAT, self.input)]
        outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes.get(name)) for name in outputs]
        graph = helper.make_graph(self.nodes, f'seed{self.seed}', inputs, outs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', self.opset)], ir_version=8 if self.opset < 20 else 10)

    def settle(self, names):
        """Shapes of the new tensors, or Skip and everything as before."""
        model = self.model([])
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
        known = {}
        for info in inferred.graph.value_info:
            dims = info.type.tensor_type.shape.dim
            known[info.name] = [d.dim_value for d in dims]
        for name in names:
            shape = known.get(name)
            if shape is None or any(d < 1 for d in shape) or int(np.prod(shape)) > MOST or len(shape) > 6:
                raise Skip
            self.shapes[name] = shape
        self.live += names

    def step(self):
        before = (len(self.nodes), len(self.constants), list(self.live), self.count)
        x = self.live[-1] if self.coin(0.75) else self.pick(self.live)
        if not self.shapes[x]:
            return False
        op = self.pick(OPS)
        try:
            names = op(self, x, list(self.shapes[x]))
            self.settle(names)
            return True
        except (Skip, onnx.shape_inference.InferenceError):
            del self.nodes[before[0]:]
            del self.constants[before[1]:]
            self.live, self.count = before[2], before[3]
            return False


OPS = []


def op(weight=1):
    def add(function):
        OPS.extend([function] * weight)
        return function
    return add


def geometry(g, size, most_kernel=4):
    """kernel, stride, dilation, before, behind of one axis"""
    dilation = g.n(1, 2) if g.coin(0.3) else 1
    kernel = g.n(1, most_kernel)
    stride = g.n(1, 3) if g.coin(0.4) else 1
    before, behind = (g.n(0, kernel), g.n(0, kernel)) if g.coin(0.6) else (0, 0)
    if g.coin(0.5):
        behind = before
    if size + before + behind < dilation * (kernel - 1) + 1:
        raise Skip
    return kernel, stride, dilation, before, behind


def spatial(g, s):
    if len(s) not in (3, 4) or s[0] != 1:
        raise Skip
    return s[2:]


@op(10)
def conv(g, x, s):
    axes = [geometry(g, d, 7 if g.coin(0.2) else 3) for d in spatial(g, s)]
    channels = s[1]
    groups = g.pick([d for d in range(1, channels + 1) if channels % d == 0]) if g.coin(0.4) else 1
    maps = groups * g.n(1, 6 if groups == 1 else 2)
    kernel = [a[0] for a in axes]
    w = g.const(g.weights([maps, channels // groups, *kernel], channels // groups * np.prod(kernel)))
    inputs = [x, w] + ([g.const(g.floats([maps], 0.5))] if g.coin(0.7) else [])
    attributes = dict(kernel_shape=kernel, strides=[a[1] for a in axes], group=groups)
    auto = g.pick(['SAME_UPPER', 'SAME_LOWER', 'VALID']) if g.coin(0.2) else None
    if auto:
        if auto == 'VALID' and any(d < k for d, k in zip(s[2:], kernel)):
            raise Skip
        attributes['auto_pad'] = auto
    else:
        attributes['dilations'] = [a[2] for a in axes]
        attributes['pads'] = [a[3] for a in axes] + [a[4] for a in axes]
    return g.node('Conv', inputs, **attributes)


@op(2)
def conv_transpose(g, x, s):
    sizes = spatial(g, s)
    channels = s[1]
    groups = g.pick([d for d in range(1, channels + 1) if channels % d == 0]) if g.coin(0.3) else 1
    per_group = g.n(1, 3)
    kernel = [g.n(1, 4) for _ in sizes]
    stride = [g.n(1, 3) for _ in sizes]
    dilation = [g.n(1, 2) if g.coin(0.3) else 1 for _ in sizes]
    attributes = dict(kernel_shape=kernel, strides=stride, dilations=dilation, group=groups)
    kind = g.r.random()
    if kind < 0.2:
        attributes['auto_pad'] = g.pick(['SAME_UPPER', 'SAME_LOWER', 'VALID'])
    elif kind < 0.8:
        pads = [g.n(0, k - 1) for k in kernel] + [g.n(0, k - 1) for k in kernel]
        attributes['pads'] = pads
        attributes['output_padding'] = [g.n(0, t - 1) if g.coin(0.4) else 0 for t in stride]
        for i, d in enumerate(sizes):
            if (d - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - pads[i] - pads[i + len(sizes)] < 1:
                raise Skip
    w = g.const(g.weights([channels, per_group, *kernel], channels / groups * np.prod(kernel) / np.prod(stride)))
    inputs = [x, w] + ([g.const(g.floats([per_group * groups], 0.5))] if g.coin(0.5) else [])
    return g.node('ConvTranspose', inputs, **attributes)


@op(3)
def gemm(g, x, s):
    if len(s) != 2:
        raise Skip
    left, ta, tb = g.coin(0.15), int(g.coin(0.2)), int(g.coin())
    beta = g.pick([1.0, 0.5, 2.0])
    attributes = dict(transA=ta, transB=tb, alpha=g.pick([1.0, 0.5, -1.5]), beta=beta)
    m = g.n(1, 8)
    if not left:
        rows, k = (s[1], s[0]) if ta else (s[0], s[1])
        w = g.weights([m, k] if tb else [k, m], k)
        inputs, out = [x, g.const(w)], [rows, m]
    else:
        k, columns = (s[1], s[0]) if tb else (s[0], s[1])
        w = g.weights([k, m] if ta else [m, k], k)
        inputs, out = [g.const(w), x], [m, columns]
    if g.coin(0.7) or g.opset < 11:
        shape = g.pick([[], [1], [out[1]], [1, out[1]], [out[0], 1], out, [1, 1]])
        inputs.append(g.const(g.floats(shape, 0.5)))
    return g.node('Gemm', inputs, **attributes)


@op(4)
def matmul(g, x, s):
    batch = s[:-2]
    m = g.n(1, 6)
    left = g.coin(0.3)
    if left:
        k = s[-2] if len(s) > 1 else s[0]
        shape = [m, k] if len(s) == 1 or g.coin(0.8) else [k]
    else:
        k = s[-1]
        shape = [k, m] if len(s) == 1 or g.coin(0.8) else [k]
    if len(shape) == 2 and g.coin(0.3):
        lead = [d if g.coin() else 1 for d in batch][g.n(0, len(batch)):]
        if g.coin(0.2):
            lead = [g.n(1, 3)] + [1] * len(batch)
        shape = lead + shape
    w = g.const(g.weights(shape, k))
    return g.node('MatMul', [w, x] if left else [x, w])


@op(1)
def einsum(g, x, s):
    if g.opset < 12 or len(s) > 4:
        raise Skip
    letters = 'abcd'[:len(s)]
    shared = [c for c in letters if g.coin()]
    summed = [c for c in shared if g.coin(0.7)]
    new = 'z' if g.coin(0.7) else ''
    sizes = dict(zip(letters, s))
    sizes['z'] = g.n(1, 4)
    w = shared + list(new)
    if not w:
        raise Skip
    g.r.shuffle(w)
    out = [c for c in letters if c not in summed] + list(new)
    g.r.shuffle(out)
    constant = g.const(g.weights([sizes[c] for c in w], np.prod([sizes[c] for c in summed] or [1])))
    operands = [(letters, x), (''.join(w), constant)]
    if g.coin(0.3):
        operands.reverse()
    if g.coin(0.2):
        # Of one operand, or with what all share unnamed.
        if g.coin() or letters[0] in w:
            kept = [c for c in letters if c not in summed] or [letters[0]]
            g.r.shuffle(kept)
            return g.node('Einsum', [x], equation=letters + '->' + ''.join(kept))
        operands = [(('...' + o[0][1:]) if o[1] == x else o[0], o[1]) for o in operands]
        out = ['...'] + [c for c in out if c != letters[0]]
    equation = ','.join(o[0] for o in operands) + '->' + ''.join(out)
    return g.node('Einsum', [o[1] for o in operands], equation=equation)


@op(2)
def batch_norm(g, x, s):
    if len(s) < 2:
        raise Skip
    c = s[1]
    lists = [g.floats([c], 1.0), g.floats([c], 0.5), g.floats([c], 0.5), np.abs(g.floats([c], 1.0)) + np.float32(0.25)]
    attributes = {} if g.coin() else dict(epsilon=g.pick([1e-5, 1e-3]))
    return g.node('BatchNormalization', [x] + [g.const(v) for v in lists], **attributes)


@op(8)
def relu(g, x, s):
    return g.node('Relu', [x])


@op(3)
def clip(g, x, s):
    low, high = g.pick([(0.0, 6.0), (-1.0, 1.0), (None, 1.0), (0.0, None), (-0.5, None), (None, None), (0.5, 1.5), (-2.0, -0.25),
                        (-3.4028234663852886e38, 0.75), (0.25, 3.4028234663852886e38), (float('-inf'), 0.5), (0.0, float('inf'))])
    if g.opset < 11:
        attributes = {k: v for k, v in (('min', low), ('max', high)) if v is not None}
        return g.node('Clip', [x], **attributes)
    bound = lambda v: '' if v is None else g.const(np.float32(v))
    inputs = [x, bound(low), bound(high)]
    while inputs[-1] == '':
        inputs.pop()
    return g.node('Clip', inputs)


@op(2)
def leaky(g, x, s):
    return g.node('LeakyRelu', [x], alpha=g.pick([0.01, 0.2, 1.5, -0.5, 0.0, 1.0]))


@op(2)
def prelu(g, x, s):
    shape = [d if g.coin() else 1 for d in s][g.n(0, len(s)):]
    if g.coin(0.4) and len(s) >= 2:
        shape = [s[1]] + [1] * (len(s) - 2)
    if g.opset < 9 and shape != s:
        shape = s
    return g.node('PRelu', [x, g.const(g.floats(shape, 0.5))])


@op(1)
def absolute(g, x, s):
    return g.node('Abs', [x])


@op(1)
def hard_sigmoid(g, x, s):
    return g.node('HardSigmoid', [x], alpha=g.pick([0.2, 1 / 6, 0.5]), beta=0.5)


def pool(g, op_type, x, s):
    dilated = g.opset >= (10 if op_type == 'MaxPool' else 19)
    axes = []
    for d in spatial(g, s):
        kernel = g.n(1, 4)
        dilation = g.n(1, 2) if dilated and g.coin(0.25) else 1
        before, behind = (g.n(0, kernel - 1), g.n(0, kernel - 1)) if g.coin(0.6) else (0, 0)
        stride = g.n(1, 3)
        span = dilation * (kernel - 1) + 1
        if d + before + behind < span:
            raise Skip
        axes.append((kernel, stride, dilation, before, behind))
    attributes = dict(kernel_shape=[a[0] for a in axes])
    if g.coin(0.9):
        attributes['strides'] = [a[1] for a in axes]
    auto = g.pick(['SAME_UPPER', 'SAME_LOWER', 'VALID']) if g.coin(0.2) else None
    if auto:
        if auto == 'VALID' and any(d < a[0] for d, a in zip(s[2:], axes)):
            raise Skip
        attributes['auto_pad'] = auto
    else:
        attributes['pads'] = [a[3] for a in axes] + [a[4] for a in axes]
        if dilated:
            attributes['dilations'] = [a[2] for a in axes]
    if g.opset >= 10 and g.coin(0.4) and not auto:
        attributes['ceil_mode'] = 1
    if op_type == 'AveragePool' and g.coin():
        attributes['count_include_pad'] = 1
    if op_type == 'MaxPool' and g.opset >= 8 and g.coin(0.1):
        return g.node(op_type, [x], outputs=2, **attributes)[:1]
    return g.node(op_type, [x], **attributes)


@op(4)
def max_pool(g, x, s):
    return pool(g, 'MaxPool', x, s)


@op(4)
def average_pool(g, x, s):
    return pool(g, 'AveragePool', x, s)


@op(1)
def global_pool(g, x, s):
    spatial(g, s)
    return g.node(g.pick(['GlobalAveragePool', 'GlobalMaxPool']), [x])


@op(3)
def reduce(g, x, s):
    kind = g.pick(['ReduceMean', 'ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceSumSquare'])
    if kind == 'ReduceSumSquare':
        g.squares += 1
        if g.squares > 2:
            raise Skip
    axes = [i for i in range(len(s)) if g.coin(0.4)]
    if kind in ('ReduceSum', 'ReduceL1', 'ReduceSumSquare') and np.prod([s[i] for i in axes] or s) > 60:
        raise Skip
    axes = [a - len(s) if g.coin(0.3) else a for a in axes]
    attributes = dict(keepdims=int(g.coin()))
    as_input = g.opset >= (13 if kind == 'ReduceSum' else 18)
    if not attributes['keepdims'] and (not axes or len(axes) == len(s)):
        raise Skip
    inputs = [x]
    if axes and as_input:
        inputs.append(g.ints(axes))
    elif axes:
        attributes['axes'] = axes
    elif as_input and g.coin():
        attributes['noop_with_empty_axes'] = 1
        if kind in ('ReduceL1', 'ReduceSumSquare'):
            raise Skip
        inputs.append(g.ints([]) if g.coin() else '')
        if inputs[-1] == '':
            inputs.pop()
    return g.node(kind, inputs, **attributes)


def broadcastable(g, s):
    if g.coin(0.1):
        # the private tensor is the one that is repeated
        return [g.n(2, 3) if d == 1 and i else d for i, d in enumerate(s)]
    shape = [d if g.coin(0.6) else 1 for d in s]
    return shape[g.n(0, len(s)):] if g.coin() else shape


@op(4)
def with_constant(g, x, s):
    kind = g.pick(['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Where'])
    c = g.floats(broadcastable(g, s), 1.0)
    if kind == 'Div':
        c = np.where(np.abs(c) < 0.5, np.float32(1.0), c)
    if kind == 'Div' and g.opset < 7:
        raise Skip
    if kind in ('Max', 'Min') and g.opset < 8:
        raise Skip
    if kind == 'Where':
        if g.opset < 9:
            raise Skip
        condition = g.const(g.r.random(c.shape) < 0.5)
        other = g.const(g.floats(broadcastable(g, s), 1.0))
        return g.node('Where', [condition, x, other] if g.coin() else [condition, other, x])
    inputs = [x, g.const(c)]
    if kind != 'Div' and g.coin(0.3):
        inputs.reverse()
    return g.node(kind, inputs)


@op(5)
def of_two(g, x, s):
    def fits(other):
        t = g.shapes[other]
        return all(a == b or a == 1 or b == 1 for a, b in zip(reversed(s), reversed(t)))
    other = g.pick([name for name in g.live if fits(name)])
    kind = g.pick(['Add', 'Add', 'Add', 'Sub', 'Mul', 'Max', 'Min', 'Sum', 'Mean'])
    if kind in ('Max', 'Min', 'Sum', 'Mean') and g.opset < 8:
        raise Skip
    if kind == 'Mul':
        g.squares += 1
        if g.squares > 2:
            raise Skip
    inputs = [x, other]
    if kind in ('Sum', 'Mean', 'Max', 'Min') and g.coin(0.3):
        inputs.append(g.const(g.floats(broadcastable(g, s), 0.5)))
    return g.node(kind, inputs)


@op(1)
def unary(g, x, s):
    kind = g.pick(['Neg', 'Identity', 'Dropout', 'Pow'])
    if kind == 'Pow':
        g.squares += 1
        if g.squares > 2:
            raise Skip
        return g.node('Pow', [x, g.const(np.float32(g.pick([1.0, 2.0, 2.0, 3.0])))])
    return g.node(kind, [x])


@op(3)
def concat(g, x, s):
    axis = g.n(0, len(s) - 1)
    if axis == 0 and s[0] == 1 and g.coin(0.8):
        raise Skip
    parts = [x]
    for _ in range(g.n(1, 2)):
        if g.coin(0.4):
            shape = list(s)
            shape[axis] = g.n(1, 3)
            parts.append(g.const(g.floats(shape, 0.5)))
        else:
            same = [n for n in g.live if len(g.shapes[n]) == len(s) and all(i == axis or a == b for i, (a, b) in enumerate(zip(g.shapes[n], s)))]
            parts.append(g.pick(same))
    g.r.shuffle(parts)
    return g.node('Concat', list(parts), axis=axis - len(s) if g.opset >= 11 and g.coin(0.3) else axis)


@op(2)
def split(g, x, s):
    axis = g.n(0, len(s) - 1)
    if s[axis] < 2:
        raise Skip
    cut = g.n(1, s[axis] - 1)
    if g.opset >= 18 and g.coin(0.3):
        return g.node('Split', [x], outputs=2, axis=axis, num_outputs=2)
    if g.opset >= 13:
        return g.node('Split', [x, g.ints([cut, s[axis] - cut])], outputs=2, axis=axis)
    return g.node('Split', [x], outputs=2, axis=axis, split=[cut, s[axis] - cut])


@op(3)
def slice_(g, x, s):
    axes = [i for i in range(len(s)) if g.coin(0.5)] or [len(s) - 1]
    starts, ends, steps = [], [], []
    for a in axes:
        d = s[a]
        step = g.pick([1, 1, 1, 2, 3, -1, -1, -2]) if g.opset >= 10 else 1
        low = g.n(0, d - 1)
        high = g.n(low + 1, d)
        if step > 0:
            start, end = low, g.pick([high, high, 2**31 - 1, high - d if high < d else high])
        else:
            start, end = high - 1, g.pick([low - 1, -2**31]) if low > 0 else -2**31
        starts.append(start - d if g.coin(0.2) else start)
        ends.append(end)
        steps.append(step)
    named = [a - len(s) if g.coin(0.2) else a for a in axes]
    if g.opset < 10:
        return g.node('Slice', [x], starts=starts, ends=ends, axes=named)
    return g.node('Slice', [x, g.ints(starts), g.ints(ends), g.ints(named), g.ints(steps)])


@op(3)
def pad(g, x, s):
    mode = g.pick(['constant', 'constant', 'reflect', 'edge'] + (['wrap'] if g.opset >= 19 else []))
    most = lambda d: 2 if mode in ('constant', 'edge') else max(0, min(2, d - 1))
    pads = [[g.n(0, most(d)) if i and g.coin() else 0 for i, d in enumerate(s)] for _ in range(2)]
    value = g.pick([0.0, 0.0, 0.5, -1.0]) if mode == 'constant' else 0.0
    if mode == 'constant' and g.coin(0.15):
        pads = [[-1 if d > 2 and g.coin(0.3) else p for p, d in zip(row, s)] for row in pads]
    if g.opset < 11:
        return g.node('Pad', [x], mode=mode, pads=pads[0] + pads[1], value=value)
    inputs = [x]
    if g.opset >= 18 and g.coin(0.4):
        axes = [i for i in range(len(s)) if pads[0][i] or pads[1][i]] or [len(s) - 1]
        inputs += [g.ints([row[a] for row in pads for a in axes]), g.const(np.float32(value)), g.ints(axes)]
    else:
        inputs += [g.ints(pads[0] + pads[1])] + ([g.const(np.float32(value))] if value or g.coin() else [])
    return g.node('Pad', inputs, mode=mode)


@op(3)
def transpose(g, x, s):
    if g.coin(0.2):
        return g.node('Transpose', [x])
    order = list(range(len(s)))
    tail = order[1:] if g.coin(0.7) else order
    g.r.shuffle(tail)
    return g.node('Transpose', [x], perm=[int(i) for i in (order[:1] + tail if len(tail) < len(s) else tail)])


@op(2)
def flatten(g, x, s):
    return g.node('Flatten', [x], **({} if g.coin(0.6) else dict(axis=g.n(0, len(s)))))


@op(3)
def reshape(g, x, s):
    total = int(np.prod(s))
    rest, dims = total, []
    for _ in range(g.n(1, 4)):
        d = g.pick([d for d in range(1, rest + 1) if rest % d == 0])
        dims.append(d)
        rest //= d
    dims.append(rest)
    g.r.shuffle(dims)
    dims = [int(d) for d in dims]
    if g.coin(0.8) and dims[0] != 1:
        dims = [1] + dims
    if g.coin(0.3):
        dims[g.n(0, len(dims) - 1)] = -1
    if g.coin(0.2) and len(dims) <= len(s) and dims[0] == s[0]:
        dims[0] = 0
    return g.node('Reshape', [x, g.ints(dims)])


@op(2)
def shuffle(g, x, s):
    if len(s) != 4 or s[1] < 4:
        raise Skip
    groups = g.pick([d for d in range(1, s[1] + 1) if s[1] % d == 0])
    a = g.node('Reshape', [x, g.ints([s[0], groups, s[1] // groups, *s[2:]])])
    b = g.node('Transpose', a, perm=[0, 2, 1, 3, 4])
    return g.node('Reshape', [b[0], g.ints([s[0], -1, *s[2:]])])


@op(1)
def squeeze(g, x, s):
    ones = [i for i, d in enumerate(s) if d == 1]
    if g.coin() and len(ones) > 1 and len(s) > 2:
        axes = [i for i in ones[1:] if g.coin()] or [ones[-1]]
        if g.opset >= 13:
            return g.node('Squeeze', [x, g.ints(axes)])
        return g.node('Squeeze', [x], axes=axes)
    axis = g.n(0, len(s))
    if g.opset >= 13:
        return g.node('Unsqueeze', [x, g.ints([axis])])
    return g.node('Unsqueeze', [x], axes=[axis])


@op(2)
def gather(g, x, s):
    axis = g.n(0, len(s) - 1)
    low = -s[axis] if g.opset >= 11 else 0
    shape = g.pick([[], [1], [2], [3], [2, 2]])
    indices = g.r.integers(low, s[axis], shape)
    if len(s) == 1 and not shape:
        raise Skip
    return g.node('Gather', [x, g.const(np.asarray(indices, np.int64))], axis=axis)


@op(1)
def expand_tile(g, x, s):
    if g.coin():
        if g.opset < 8:
            raise Skip
        to = [g.n(1, 3) if d == 1 and i else (1 if g.coin(0.2) else d) for i, d in enumerate(s)]
        return g.node('Expand', [x, g.ints(to)])
    return g.node('Tile', [x, g.ints([g.n(1, 2) if i else 1 for i in range(len(s))])])


@op(2)
def resize(g, x, s):
    if len(s) != 4:
        raise Skip
    scales = [1.0, 1.0, g.pick([1.0, 2.0, 2.0, 3.0, 0.5, 1.5]), g.pick([1.0, 2.0, 2.0, 3.0, 0.5, 0.75])]
    if any(int(d * f) < 1 for d, f in zip(s, scales)):
        raise Skip
    mode = g.pick(['nearest', 'linear'])
    if g.opset < 10:
        if any(f < 1 for f in scales):
            raise Skip
        if g.opset < 9:
            return g.node('Upsample', [x], mode=mode, scales=scales)
        return g.node('Upsample', [x, g.const(np.float32(scales))], mode=mode)
    if g.opset == 10:
        return g.node('Resize', [x, g.const(np.float32(scales))], mode=mode)
    mode = g.pick(['nearest', 'linear'])
    names = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric']
    if g.opset >= 19:
        names.append('half_pixel_symmetric')
    attributes = dict(mode=mode, coordinate_transformation_mode=g.pick(names))
    if mode == 'nearest':
        attributes['nearest_mode'] = g.pick(['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'])
    roi = '' if g.opset >= 13 else g.const(np.zeros(0, np.float32))
    if g.coin():
        return g.node('Resize', [x, roi, g.const(np.float32(scales))], **attributes)
    if g.opset >= 18 and g.coin(0.3):
        policy = g.pick(['not_larger', 'not_smaller', 'stretch'])
        wanted = g.ints([g.n(1, 2 * d) for d in s[2:]])
        return g.node('Resize', [x, '', '', wanted], axes=[2, 3], keep_aspect_ratio_policy=policy, **attributes)
    sizes = g.ints([int(d * f) for d, f in zip(s, scales)])
    empty = '' if g.opset >= 13 else g.const(np.zeros(0, np.float32))
    return g.node('Resize', [x, roi, empty, sizes], **attributes)


@op(1)
def depth_space(g, x, s):
    if len(s) != 4:
        raise Skip
    b = g.pick([1, 2, 3])
    if g.coin() and s[1] % (b * b) == 0:
        attributes = dict(mode=g.pick(['DCR', 'CRD'])) if g.opset >= 11 else {}
        return g.node('DepthToSpace', [x], blocksize=b, **attributes)
    if s[2] % b or s[3] % b:
        raise Skip
    return g.node('SpaceToDepth', [x], blocksize=b)


def build(seed):
    """(model, inputs, expected) or None if onnxruntime takes it for invalid, or it says nothing."""
    g = Graph(seed)
    wanted = g.n(1, 8)
    for _ in range(40):
        g.step()
        if len(g.nodes) >= wanted:
            break
    if not g.nodes or g.live[-1] == 'x':
        return None
    model = g.model([g.live[-1]])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
        inputs = [g.floats(g.input, 0.8) for _ in range(6)]
        expected = [session.run(None, {'x': x})[0] for x in inputs]
    except Exception:
        return None
    if expected[0].size == 0 or not all(np.isfinite(y).all() for y in expected) or max(np.abs(y).max() for y in expected) > 1e3:
        return None
    return model, inputs, expected


class Local:
    """The example program, one process for many graphs."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, path, inputs):
        lists = [[float(v) for v in x.reshape(-1)] for x in inputs]
        self.process.stdin.write(json.dumps(dict(model=path, inputs=lists[:3], calibration=lists)) + '\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def differences(answer, expected):
    if 'panic' in answer:
        return ['panic'], False
    found = []
    coarse = False
    scale = max(1e-3, max(float(np.abs(y).max()) for y in expected))
    f32 = answer.get('f32', {})
    for kind, bound in (('reference', 2e-5 * scale + 1e-5), ('imported', 2e-5 * scale + 1e-5), ('lowered', 1e-4 * scale + 1e-5), ('fixed', max(answer.get('tolerance', 0), 0.02 * scale + 0.5 / 1024 + 1e-6))):
        for got, want in zip(f32.get(kind, answer.get(kind, [])), expected):
            want = want.reshape(-1)
            if len(got) != len(want):
                found.append(f'{kind}: {len(got)} values instead of {len(want)}')
                break
            error = float(np.abs(np.asarray(got, np.float64) - want).max())
            if kind == 'fixed' and bound < error <= bound + 0.02 * max(0, 1 - scale):
                # What the quantiser promises is relative to 1 at least.
                coarse = True
            elif not error <= bound:
                found.append(f'{kind}: off by {error:.3g} of {scale:.3g}')
                break
    return found, coarse


def two_processes(gazelle, model, inputs, expected):
    """As cases.py does it: a server, a client, values compared."""
    work = tempfile.mkdtemp()
    try:
        onnx.save(model, os.path.join(work, 'model.onnx'))
        os.mkdir(os.path.join(work, 'calib'))
        for i, x in enumerate(inputs):
            np.save(os.path.join(work, 'calib', f'{i}.npy'), x)
        log = open(os.path.join(work, 'log'), 'w+')
        server = subprocess.Popen([gazelle, 'serve', os.path.join(work, 'model.onnx'), '--listen', '127.0.0.1:0', '--once', '--resolution', '1/1024',
                                   '--calibration', os.path.join(work, 'calib')], stdout=subprocess.DEVNULL, stderr=log)
        try:
            address, start = None, time.time()
            while address is None and server.poll() is None and time.time() - start < 120:
                time.sleep(0.02)
                found = re.search(r'listening on (\S+:\d+)\n', open(log.name).read())
                address = found and found.group(1)
            if address is None:
                lines = open(log.name).read().strip().splitlines()
                return dict(refused=lines[-1] if lines else 'nothing said')
            files = [os.path.join(work, 'calib', f'{i}.npy') for i in range(2)]
            client = subprocess.run([gazelle, 'infer', '--server', address, '--json', *files], capture_output=True, text=True, timeout=120)
            lines = [json.loads(line) for line in client.stdout.splitlines() if line.startswith('{')]
            if client.returncode or len(lines) != 2:
                return dict(panic=client.stderr[-300:])
            return dict(fixed=[line['logits'] for line in lines])
        finally:
            server.kill()
            server.wait()
    finally:
        shutil.rmtree(work)


def reason(text):
    text = re.sub(r'"[^"]*"', '_', text)
    return re.sub(r'[0-9][0-9.e-]*', '#', text)[:150]


def store(folder, count, seed, program):
    """Graphs for the tests, few per operator; expected values in one file. What is refused is left out."""
    local = Local(program)
    os.makedirs(folder, exist_ok=True)
    cases, have = [], collections.Counter()
    while len(cases) < count:
        seed += 1
        built = build(seed)
        if built is None:
            continue
        model, inputs, expected = built
        operators = {node.op_type for node in model.graph.node}
        # What is rare counts more.
        if min(have[o] for o in operators) > 25 or len(model.SerializeToString()) > 6000:
            continue
        path = os.path.join(folder, f'{seed}.onnx')
        onnx.save(model, path)
        answer = local.ask(path, [inputs[0]] * 4)
        if 'fixed' not in answer or differences(answer, expected[:1] * 4) != ([], False):
            os.remove(path)
            continue
        have.update(operators)
        flat = lambda list: [float(f'{v:.7g}') for v in np.asarray(list).reshape(-1)]
        cases.append(dict(seed=seed, input=flat(inputs[0]), expected=flat(expected[0])))
    with open(os.path.join(folder, 'expected.json'), 'w') as out:
        out.write('[\n' + ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases) + '\n]\n')
    print(len(cases), 'graphs;', dict(have))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--seconds', type=float, default=60)
    p.add_argument('--graphs', type=int, default=10**9)
    p.add_argument('--program', default=os.path.join(ROOT, 'target/ci/examples/onnx_values'))
    p.add_argument('--gazelle', help='go through two processes of this program')
    p.add_argument('--findings', default='/tmp/onnx-findings')
    p.add_argument('--store')
    p.add_argument('--count', type=int, default=300)
    a = p.parse_args()
    if a.store:
        return store(a.store, a.count, a.seed, a.program)
    os.makedirs(a.findings, exist_ok=True)
    local = None if a.gazelle else Local(a.program)
    counts, refused, operators = collections.Counter(), collections.Counter(), collections.Counter()
    start, seed, wrong = time.time(), a.seed - 1, 0
    while time.time() - start < a.seconds and counts['graphs'] < a.graphs:
        seed += 1
        built = build(seed)
        if built is None:
            counts['no graph'] += 1
            continue
        model, inputs, expected = built
        counts['graphs'] += 1
        if local:
            path = os.path.join(a.findings, 'now.onnx')
            onnx.save(model, path)
            answer = local.ask(path, inputs)
        else:
            answer = two_processes(a.gazelle, model, inputs, expected)
        for key in ('refused', 'unquantised'):
            if key in answer:
                counts[key] += 1
                refused[reason(answer[key])] += 1
        if 'refused' not in answer:
            operators.update(node.op_type for node in model.graph.node)
        found, coarse = differences(answer, expected)
        counts['coarse'] += coarse
        if found:
            wrong += 1
            counts['different'] += 1
            onnx.save(model, os.path.join(a.findings, f'{seed}.onnx'))
            print(f'seed {seed}: {"; ".join(found)}: {[n.op_type for n in model.graph.node]}', flush=True)
    print(f'{time.time() - start:.0f} s, seeds {a.seed} to {seed}:', dict(counts))
    print('refusals:', json.dumps(dict(refused.most_common(30)), indent=1))
    print('operators compared:', dict(operators.most_common()))
    return wrong > 0


if __name__ == '__main__':
    sys.exit(main())
