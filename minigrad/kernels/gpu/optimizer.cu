// Optimizer steps: all parameters of a network in one launch, each element read and written once.
//
// A network has many small parameters and a few large ones. All are cut into chunks of CHUNK
// elements, the last of each parameter shorter; a block of threads takes every gridDim.x-th chunk.
// Elements whose gradient is NaN or infinite are not changed, but counted.

const int CHUNK = 4096;  // optimizer.py has the same number

// A parameter and its arrays of `size` elements. optimizer.py builds tables of these.
template <typename Real>
struct Parameter {
    long long first_chunk;  // number of chunks of the parameters before it
    long long size;
    Real* p;
    const Real* g;
    Real *a, *b;  // the optimizer's state; some need only one
    int* bad;     // number of NaN or infinite gradient elements so far
};

// In each rule, g is first the gradient plus `decay` times p.

// v = momentum v + g;  p = p - lr v.
template <typename Real>
struct SGD {
    typedef Real Element;
    Real lr, momentum, decay;

    __device__ SGD(const double* numbers) : lr(numbers[0]), momentum(numbers[1]), decay(numbers[2]) {}

    __device__ void update(Real& p, Real g, Real* v, Real*) const {
        *v = momentum * *v + (g + decay * p);
        p -= lr * *v;
    }
};

// m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;  p = keep p - lr m / (sqrt(s) scale + eps).
// `lr` and `scale` include the bias correction of m and s.
template <typename Real>
struct Adam {
    typedef Real Element;
    Real lr, beta1, rest1, beta2, rest2, scale, eps, decay, keep;

    __device__ Adam(const double* numbers)
        : lr(numbers[0]), beta1(numbers[1]), rest1(numbers[2]), beta2(numbers[3]), rest2(numbers[4]), scale(numbers[5]),
          eps(numbers[6]), decay(numbers[7]), keep(numbers[8]) {}

    __device__ void update(Real& p, Real g, Real* m, Real* s) const {
        g += decay * p;
        *m = beta1 * *m + rest1 * g;
        *s = beta2 * *s + rest2 * g * g;
        p = keep * p - lr * *m / (sqrt(*s) * scale + eps);
    }
};

// s = alpha s + (1 - alpha) g^2;  p = p - lr g / (sqrt(s) + eps).
template <typename Real>
struct RMSprop {
    typedef Real Element;
    Real lr, alpha, rest, eps, decay;

    __device__ RMSprop(const double* numbers)
        : lr(numbers[0]), alpha(numbers[1]), rest(numbers[2]), eps(numbers[3]), decay(numbers[4]) {}

    __device__ void update(Real& p, Real g, Real* s, Real*) const {
        g += decay * p;
        *s = alpha * *s + rest * g * g;
        p -= lr * g / (sqrt(*s) + eps);
    }
};

// The parameter that a chunk belongs to: the last one whose first chunk is not after it. (A
// parameter without elements has no chunk.)
template <typename Real>
__device__ Parameter<Real> owner(const Parameter<Real>* parameters, int count, long long chunk) {
    int low = 0, high = count - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (parameters[middle].first_chunk <= chunk) low = middle;
        else high = middle - 1;
    }
    return parameters[low];
}

// numbers: the arguments of the rule's constructor.
template <typename Rule>
__global__ void update(const Parameter<typename Rule::Element>* parameters, int count, long long chunks, const double* numbers) {
    const Rule rule(numbers);
    for (long long chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const Parameter<typename Rule::Element> at = owner(parameters, count, chunk);
        const long long start = (chunk - at.first_chunk) * CHUNK, end = min(start + CHUNK, at.size);
        int skipped = 0;
        for (long long i = start + threadIdx.x; i < end; i += blockDim.x) {
            if (isfinite(at.g[i])) rule.update(at.p[i], at.g[i], at.a + i, at.b + i);
            else skipped++;
        }
        if (skipped) atomicAdd(at.bad, skipped);
    }
}
