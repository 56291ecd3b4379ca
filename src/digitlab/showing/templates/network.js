// Carries out a network's operations, one after another: what ONNX Runtime does elsewhere, for one image at a time.
const Network = (() => {
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  const tensor = (shape, data = new Float32Array(size(shape))) => ({ shape, data });
  const map = (x, f) => tensor(x.shape, x.data.map(f));
  const axisOf = (axis, rank) => (axis < 0 ? axis + rank : axis);

  // Steps of each axis through the data; 0 where one value serves the whole axis.
  function strides(shape, rank) {
    const steps = new Array(rank).fill(0);
    for (let i = shape.length - 1, step = 1; i >= 0; i--) {
      if (shape[i] > 1) steps[rank - shape.length + i] = step;
      step *= shape[i];
    }
    return steps;
  }

  function combine(a, b, f) {
    const rank = Math.max(a.shape.length, b.shape.length), shape = [];
    for (let i = 0; i < rank; i++) shape.push(Math.max(a.shape[i + a.shape.length - rank] ?? 1, b.shape[i + b.shape.length - rank] ?? 1));
    const out = tensor(shape), ours = strides(a.shape, rank), theirs = strides(b.shape, rank), at = new Array(rank).fill(0);
    for (let n = 0, i = 0, j = 0; n < out.data.length; n++) {
      out.data[n] = f(a.data[i], b.data[j]);
      for (let axis = rank - 1; axis >= 0; axis--) {
        i += ours[axis]; j += theirs[axis];
        if (++at[axis] < shape[axis]) break;
        i -= ours[axis] * shape[axis]; j -= theirs[axis] * shape[axis]; at[axis] = 0;
      }
    }
    return out;
  }

  function transpose(x, perm) {
    const from = strides(x.shape, x.shape.length), out = tensor(perm.map((axis) => x.shape[axis]));
    const steps = perm.map((axis) => from[axis]), at = perm.map(() => 0);
    for (let n = 0, i = 0; n < out.data.length; n++) {
      out.data[n] = x.data[i];
      for (let axis = perm.length - 1; axis >= 0; axis--) {
        i += steps[axis];
        if (++at[axis] < out.shape[axis]) break;
        i -= steps[axis] * out.shape[axis]; at[axis] = 0;
      }
    }
    return out;
  }

  // Surrounds the last two of (1, c, h, w) by [top, left, bottom, right] of a value.
  function surround(x, [top, left, bottom, right], value = 0) {
    if (!(top || left || bottom || right)) return x;
    const [n, c, h, w] = x.shape, out = tensor([n, c, h + top + bottom, w + left + right]);
    out.data.fill(value);
    for (let k = 0; k < n * c; k++) {
      for (let y = 0; y < h; y++) out.data.set(x.data.subarray((k * h + y) * w, (k * h + y + 1) * w), (k * out.shape[2] + y + top) * out.shape[3] + left);
    }
    return out;
  }

  function convolve(image, kernel, bias, { strides: [down, across], dilations: [dy, dx], pads, group }) {
    const x = surround(image, pads), [, , h, w] = x.shape, [filters, channels, kh, kw] = kernel.shape;
    const rows = Math.floor((h - (kh - 1) * dy - 1) / down) + 1, columns = Math.floor((w - (kw - 1) * dx - 1) / across) + 1;
    const out = tensor([1, filters, rows, columns]), sums = new Float64Array(rows * columns);
    for (let f = 0, k = 0; f < filters; f++) {
      sums.fill(bias ? bias.data[f] : 0);
      const first = Math.floor(f / (filters / group)) * channels;
      for (let c = first; c < first + channels; c++) for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++) {
        const weight = kernel.data[k++];
        for (let y = 0, n = 0; y < rows; y++) {
          for (let i = (c * h + y * down + ky * dy) * w + kx * dx, end = n + columns; n < end; n++, i += across) sums[n] += weight * x.data[i];
        }
      }
      out.data.set(sums, f * rows * columns);
    }
    return out;
  }

  function pool(image, { kernel_shape: [kh, kw], strides: [down, across], pads }, largest) {
    const [, c, h, w] = image.shape, [top, left, bottom, right] = pads;
    const rows = Math.floor((h + top + bottom - kh) / down) + 1, columns = Math.floor((w + left + right - kw) / across) + 1;
    const out = tensor([1, c, rows, columns]);
    for (let k = 0, n = 0; k < c; k++) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
      let best = -Infinity, sum = 0, count = 0;
      for (let j = Math.max(0, y * down - top); j < Math.min(h, y * down - top + kh); j++) {
        for (let i = Math.max(0, x * across - left); i < Math.min(w, x * across - left + kw); i++) {
          const value = image.data[(k * h + j) * w + i];
          if (value > best) best = value;
          sum += value; count++;
        }
      }
      out.data[n++] = largest ? best : sum / count;
    }
    return out;
  }

  function multiply(a, b) {
    const inner = b.shape[0], columns = b.shape[1], rows = a.data.length / inner, out = tensor([...a.shape.slice(0, -1), columns]);
    for (let r = 0; r < rows; r++) {
      const sums = new Float64Array(columns);
      for (let k = 0; k < inner; k++) {
        const value = a.data[r * inner + k];
        if (value) for (let c = 0; c < columns; c++) sums[c] += value * b.data[k * columns + c];
      }
      out.data.set(sums, r * columns);
    }
    return out;
  }

  // Calls f with the values along some axes, for each place of the others; the axes have to be neighbours.
  function along(x, axes, f) {
    const sorted = axes.map((axis) => axisOf(axis, x.shape.length)).sort((a, b) => a - b);
    const inner = size(x.shape.slice(sorted.at(-1) + 1)), length = size(sorted.map((axis) => x.shape[axis])), outer = x.data.length / inner / length;
    for (let o = 0; o < outer; o++) for (let i = 0; i < inner; i++) {
      const values = new Float64Array(length);
      for (let k = 0; k < length; k++) values[k] = x.data[(o * length + k) * inner + i];
      f(values, (k) => (o * length + k) * inner + i, o * inner + i);
    }
    return sorted;
  }
  function reduce(x, axes, keep, f) {
    const gone = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
    const out = tensor(x.shape.map((side, axis) => (gone.has(axis) ? 1 : side)));
    along(x, axes, (values, _, place) => { out.data[place] = f(values); });
    return keep ? out : tensor(x.shape.filter((_, axis) => !gone.has(axis)), out.data);
  }
  const total = (values) => values.reduce((a, b) => a + b, 0);

  function softmax(x, axis) {
    const out = tensor(x.shape);
    along(x, [axis], (values, place) => {
      const top = Math.max(...values), powers = values.map((v) => Math.exp(v - top)), sum = total(powers);
      powers.forEach((power, k) => { out.data[place(k)] = power / sum; });
    });
    return out;
  }

  function join(parts, axis) {
    const at = axisOf(axis, parts[0].shape.length), shape = [...parts[0].shape];
    shape[at] = parts.reduce((sum, part) => sum + part.shape[at], 0);
    const out = tensor(shape), inner = size(shape.slice(at + 1)), outer = size(shape.slice(0, at));
    for (let o = 0, n = 0; o < outer; o++) for (const part of parts) {
      const length = part.shape[at] * inner;
      out.data.set(part.data.subarray(o * length, (o + 1) * length), n);
      n += length;
    }
    return out;
  }

  // Abramowitz and Stegun 7.1.26: wrong by at most 1.5e-7.
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    return Math.sign(x) * (1 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-x * x));
  }

  const plus = (a, b) => combine(a, b, (p, q) => p + q);
  const OPERATORS = {
    Add: ([a, b]) => plus(a, b),
    AveragePool: ([x], how) => pool(x, how, false),
    Cast: ([x]) => x,
    Clip: ([x, low, high]) => map(x, (v) => Math.min(high.data[0], Math.max(low.data[0], v))),
    Concat: (parts, { axis }) => join(parts, axis),
    Conv: ([x, kernel, bias], how) => convolve(x, kernel, bias, how),
    Div: ([a, b]) => combine(a, b, (p, q) => p / q),
    Elu: ([x]) => map(x, (v) => (v > 0 ? v : Math.expm1(v))),
    Erf: ([x]) => map(x, erf),
    LeakyRelu: ([x], { alpha }) => map(x, (v) => (v > 0 ? v : alpha * v)),
    MatMul: ([a, b]) => multiply(a, b),
    MaxPool: ([x], how) => pool(x, how, true),
    Mean: (parts) => { const sum = parts.reduce(plus); return map(sum, (v) => v / parts.length); },
    Mul: ([a, b]) => combine(a, b, (p, q) => p * q),
    // (1, h, w, c), pads [0, top, left, 0, 0, bottom, right, 0]
    Pad: ([x, { values: p }]) => transpose(surround(transpose(x, [0, 3, 1, 2]), [p[1], p[2], p[5], p[6]]), [0, 2, 3, 1]),
    ReduceMax: ([x], { axes, keepdims }) => reduce(x, axes, keepdims, (values) => Math.max(...values)),
    ReduceMean: ([x], { axes, keepdims }) => reduce(x, axes, keepdims, (values) => total(values) / values.length),
    ReduceSum: ([x, axes], { keepdims }) => reduce(x, axes.values, keepdims, total),
    Relu: ([x]) => map(x, (v) => (v > 0 ? v : 0)),
    Reshape: ([x, { values }]) => {
      const shape = values.map((side, axis) => (side === 0 ? x.shape[axis] : side)), known = size(shape.filter((side) => side > 0));
      return tensor(shape.map((side) => (side < 0 ? x.data.length / known : side)), x.data);
    },
    Selu: ([x]) => map(x, (v) => 1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * Math.expm1(v))),
    Sigmoid: ([x]) => map(x, (v) => 1 / (1 + Math.exp(-v))),
    Softmax: ([x], { axis = -1 }) => softmax(x, axis),
    Softplus: ([x]) => map(x, (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))),
    Sum: (parts) => parts.reduce(plus),
    Tanh: ([x]) => map(x, Math.tanh),
    Transpose: ([x], { perm }) => transpose(x, perm),
  };

  function open({ input, output, nodes, constants, weights, temperature }) {
    const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0)), all = new Float32Array(bytes.buffer);
    const known = Object.entries(constants).map(([number, c]) => [Number(number), c.values ? c : tensor(c.shape, all.subarray(c.at, c.at + size(c.shape)))]);

    // Calibrated probabilities of one image, 784 values of 0 to 255, ink bright on 0.
    function probabilities(image) {
      const tensors = new Map(known);
      tensors.set(input, tensor([1, 28, 28], Float32Array.from(image)));
      for (const [kind, inputs, result, how] of nodes) tensors.set(result, OPERATORS[kind](inputs.map((number) => tensors.get(number)), how));
      const row = Float64Array.from(tensors.get(output).data), sum = total(row);
      const logs = tensor([row.length], row.map((p) => Math.log(Math.max(p / sum, 1.1754943508222875e-38)) / temperature));
      return [...softmax(logs, 0).data];
    }
    return { probabilities };
  }
  return { open, operators: Object.keys(OPERATORS) };
})();
