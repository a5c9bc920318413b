// Kernels that test the emulator: features it must have, and mistakes it must detect. See test_emulator.py.

template <typename T>
__global__ void block_sum(const T* x, T* out) {
    extern __shared__ float shared[];
    shared[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
#ifndef FORGET_BARRIER
        __syncthreads();
#endif
    }
    if (threadIdx.x == 0) out[blockIdx.x] = shared[0];
}

__global__ void shared_tile(const float* x, float* out) {  // transposes 8 x 8 through shared memory
    __shared__ float tile[8][8 + 1];
    tile[threadIdx.y][threadIdx.x] = x[8 * threadIdx.y + threadIdx.x];
    __syncthreads();
    out[8 * threadIdx.y + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

__global__ void warp_functions(const int* x, int* out) {  // out: 7 numbers for each of 64 threads
    const unsigned all = 0xffffffffu;
    const int lane = threadIdx.x % 32, mine = x[threadIdx.x];
    int* o = out + 7 * threadIdx.x;
    o[0] = __shfl_sync(all, mine, 5);
    o[1] = __shfl_xor_sync(all, mine, 1);
    o[2] = __shfl_down_sync(all, mine, 3);
    o[3] = __shfl_up_sync(all, mine, 3, 8);
    o[4] = __ballot_sync(all, lane % 3 == 0);
    o[5] = __any_sync(all, mine == 7) + 2 * __all_sync(all, mine >= 0);
    o[6] = lane < 8 ? __shfl_xor_sync(0xffu, mine, 2) : -1;
    __syncwarp();
}

__global__ void atomics(int* total, float* sum, unsigned* largest) {
    atomicAdd(total, 1);
    atomicAdd(sum, 0.5f);
    atomicMax(largest, blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void intrinsics(float* out) {
    out[0] = __expf(1.0f);
    out[1] = rsqrtf(4.0f);
    out[2] = (float)__umulhi(0x80000000u, 6u);
    out[3] = __int_as_float(0x40490fdb);
}

__global__ void half_waits() { if (threadIdx.x < 32) __syncthreads(); }

__global__ void two_barriers() {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
}

__global__ void reads_absent_lane(int* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}

__global__ void writes_outside(float* out, int n) { out[threadIdx.x + n] = 1; }

__global__ void matrix_product(const float* a, const float* b, float* d) {  // 16 x 8 += 16 x 8 . 8 x 8
    const int row = threadIdx.x / 4, k = threadIdx.x % 4, column = threadIdx.x % 4 * 2;
    const unsigned fragment_a[4] = {to_tf32(a[8 * row + k]), to_tf32(a[8 * (row + 8) + k]), to_tf32(a[8 * row + k + 4]),
                                    to_tf32(a[8 * (row + 8) + k + 4])};
    const unsigned fragment_b[2] = {to_tf32(b[8 * k + row]), to_tf32(b[8 * (k + 4) + row])};
    float fragment_d[4] = {d[8 * row + column], d[8 * row + column + 1], d[8 * (row + 8) + column],
                           d[8 * (row + 8) + column + 1]};
    mma_m16n8k8_tf32(fragment_d, fragment_a, fragment_b);
    d[8 * row + column] = fragment_d[0], d[8 * row + column + 1] = fragment_d[1];
    d[8 * (row + 8) + column] = fragment_d[2], d[8 * (row + 8) + column + 1] = fragment_d[3];
}
