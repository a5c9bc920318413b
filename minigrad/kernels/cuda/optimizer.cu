// Optimizer steps: all parameters of a network in one launch, each element read and written once.
//
// A network has many small parameters and a few large ones. All are cut into chunks of CHUNK elements, the last of each
// parameter shorter; a block of threads takes a chunk, then the chunk that lies gridDim.x further, and so on.
// Lists of arrays come as tables of pointers: params[k], grads[k], ... belong to parameter number k, which has sizes[k]
// elements. An element whose gradient is NaN or infinite is left alone and counted in bad[k]: the caller makes bad zero.

const int CHUNK = 4096;  // gpu.py has the same number

struct Chunk {
    int parameter;  // which parameter
    int number;     // which of its chunks: its first element is number * CHUNK
};

// The element of the chunk at which the thread starts, and the end of the chunk.
__device__ long long chunk_start(Chunk chunk) { return (long long)chunk.number * CHUNK + threadIdx.x; }

__device__ long long chunk_end(Chunk chunk, const long long* sizes) {
    const long long end = (long long)(chunk.number + 1) * CHUNK, size = sizes[chunk.parameter];
    return end < size ? end : size;
}

// v = momentum v + g;  p = p - lr v.
template <typename Real>
__global__ void sgd(Real* const* params, const Real* const* grads, Real* const* velocity, const long long* sizes,
                    const Chunk* chunks, int chunk_count, int* bad, Real lr, Real momentum) {
    for (int c = blockIdx.x; c < chunk_count; c += gridDim.x) {
        const int k = chunks[c].parameter;
        Real *p = params[k], *v = velocity[k];
        const Real* g = grads[k];
        const long long end = chunk_end(chunks[c], sizes);
        int skipped = 0;
        for (long long i = chunk_start(chunks[c]); i < end; i += blockDim.x) {
            if (!isfinite(g[i])) {
                skipped++;
                continue;
            }
            const Real new_v = momentum * v[i] + g[i];
            v[i] = new_v;
            p[i] -= lr * new_v;
        }
        if (skipped) atomicAdd(&bad[k], skipped);
    }
}

// m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;  p = p - lr m / (sqrt(s) scale + eps).
// m and s start at zero and are too small at first: `lr` and `scale` come corrected for that.
template <typename Real>
__global__ void adam(Real* const* params, const Real* const* grads, Real* const* first, Real* const* second,
                     const long long* sizes, const Chunk* chunks, int chunk_count, int* bad, Real lr, Real beta1, Real rest1,
                     Real beta2, Real rest2, Real scale, Real eps) {
    for (int c = blockIdx.x; c < chunk_count; c += gridDim.x) {
        const int k = chunks[c].parameter;
        Real *p = params[k], *m = first[k], *s = second[k];
        const Real* g = grads[k];
        const long long end = chunk_end(chunks[c], sizes);
        int skipped = 0;
        for (long long i = chunk_start(chunks[c]); i < end; i += blockDim.x) {
            if (!isfinite(g[i])) {
                skipped++;
                continue;
            }
            const Real new_m = beta1 * m[i] + rest1 * g[i];
            const Real new_s = beta2 * s[i] + rest2 * g[i] * g[i];
            m[i] = new_m;
            s[i] = new_s;
            p[i] -= lr * new_m / (sqrt(new_s) * scale + eps);
        }
        if (skipped) atomicAdd(&bad[k], skipped);
    }
}

// s = alpha s + (1 - alpha) g^2;  p = p - lr g / (sqrt(s) + eps).
template <typename Real>
__global__ void rmsprop(Real* const* params, const Real* const* grads, Real* const* square, const long long* sizes,
                        const Chunk* chunks, int chunk_count, int* bad, Real lr, Real alpha, Real rest, Real eps) {
    for (int c = blockIdx.x; c < chunk_count; c += gridDim.x) {
        const int k = chunks[c].parameter;
        Real *p = params[k], *s = square[k];
        const Real* g = grads[k];
        const long long end = chunk_end(chunks[c], sizes);
        int skipped = 0;
        for (long long i = chunk_start(chunks[c]); i < end; i += blockDim.x) {
            if (!isfinite(g[i])) {
                skipped++;
                continue;
            }
            const Real new_s = alpha * s[i] + rest * g[i] * g[i];
            s[i] = new_s;
            p[i] -= lr * g[i] / (sqrt(new_s) + eps);
        }
        if (skipped) atomicAdd(&bad[k], skipped);
    }
}
