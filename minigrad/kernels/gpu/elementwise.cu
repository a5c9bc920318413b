// Elementwise kernels: out[i] is computed from element i of each input, for i = 0 .. count - 1.
//
// All arrays of one call have the same dense layout (elementwise.py takes care of it), so i counts
// along memory. Real is float or double.
//
// Every kernel is a grid-stride loop: of n threads, thread t computes elements t, t + n, t + 2n,
// ... So any count works with any number of threads, and neighbouring threads read neighbouring
// elements, which the memory delivers in one transaction.

__device__ long long first_index() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ long long index_step() { return (long long)gridDim.x * blockDim.x; }

// The error function, by CUDA's own `erf`.
template <typename Real>
__global__ void erf_of(const Real* x, Real* out, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) out[i] = erf(x[i]);
}

// slope * x where x <= 0, else x. With slope 0 that is 0 even for -inf; NaN stays NaN.
template <typename Real>
__global__ void leaky_relu(const Real* x, Real* out, long long count, Real slope) {
    for (long long i = first_index(); i < count; i += index_step()) {
        out[i] = !(x[i] <= 0) ? x[i] : slope != 0 ? x[i] * slope : 0;
    }
}

// g where the output y > 0, else slope * g (with slope 0 that is 0, even for infinite g).
template <typename Real>
__global__ void leaky_relu_backward(const Real* g, const Real* y, Real* out, long long count, Real slope) {
    for (long long i = first_index(); i < count; i += index_step()) {
        out[i] = y[i] > 0 ? g[i] : slope != 0 ? g[i] * slope : 0;
    }
}

// g (1 - y^2) for y = tanh(x).
template <typename Real>
__global__ void tanh_backward(const Real* g, const Real* y, Real* out, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) {
        out[i] = g[i] * (1 - y[i] * y[i]);
    }
}
