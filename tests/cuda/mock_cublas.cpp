// A stand-in for the cuBLAS library: the functions that minigrad calls, on the CPU's memory.
//
// As documented: matrices are stored by columns, sizes and leading dimensions are checked, C is not
// read if beta is 0, SetStream resets the workspace. Stricter: a handle must have a workspace, and
// no handle can be created while a stream captures. TF32 rounds the inputs; sums are computed in
// double. Launches on a capturing stream are stored, and run by mock_run.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { FLOAT = 0, DOUBLE = 1, COMPUTE_FLOAT = 68, COMPUTE_DOUBLE = 70, COMPUTE_TF32 = 77 };

struct Handle {
    void* stream;
    void* workspace;
};

static void* capturing = nullptr;  // a stream
static void (*note)(int);          // called with the number of each launch
static std::vector<std::function<void()>> launches;

EXPORT void mock_capture(void* stream, void (*recorder)(int)) {
    capturing = stream;
    note = recorder;
}

EXPORT void mock_run(int number) { launches[number](); }

EXPORT const char* cublasGetStatusName(int status) {
    switch (status) {
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        default: return "CUBLAS_STATUS_SUCCESS";
    }
}

EXPORT int cublasCreate_v2(Handle** handle) {
    if (!handle) return INVALID_VALUE;
    if (capturing) return NOT_INITIALIZED;
    *handle = new Handle{};
    return SUCCESS;
}

EXPORT int cublasSetStream_v2(Handle* handle, void* stream) {
    handle->stream = stream;
    handle->workspace = nullptr;
    return SUCCESS;
}

EXPORT int cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t) {
    handle->workspace = workspace;
    return SUCCESS;
}

static float to_tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x1000u) & 0xffffe000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

// A matrix stored by columns, or, if `transposed`, its transpose.
template <typename Real>
struct Matrix {
    const Real* data;
    long long leading;
    bool transposed, round;

    double at(long long i, long long j) const {
        const Real x = transposed ? data[j + i * leading] : data[i + j * leading];
        return round ? to_tf32(x) : x;
    }
};

template <typename Real>
static void multiply(int m, int n, int k, double alpha, Matrix<Real> a, Matrix<Real> b, double beta, Real* c, long long ldc) {
    for (long long j = 0; j < n; j++) {
        for (long long i = 0; i < m; i++) {
            double sum = 0;
            for (long long p = 0; p < k; p++) sum += a.at(i, p) * b.at(p, j);
            Real& result = c[i + j * ldc];
            result = alpha * sum + (beta == 0 ? 0 : beta * result);
        }
    }
}

EXPORT int cublasGemmStridedBatchedEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                                      int type_a, int lda, long long step_a, const void* b, int type_b, int ldb,
                                      long long step_b, const void* beta, void* c, int type_c, int ldc, long long step_c,
                                      int count, int compute, int) {
    if (!handle || !handle->workspace) return NOT_INITIALIZED;
    if (op_a < 0 || op_a > 1 || op_b < 0 || op_b > 1 || m < 0 || n < 0 || k < 0 || count < 0) return INVALID_VALUE;
    if (lda < fmax(1, op_a ? k : m) || ldb < fmax(1, op_b ? n : k) || ldc < fmax(1, m)) return INVALID_VALUE;
    const bool is_float = type_a == FLOAT && (compute == COMPUTE_FLOAT || compute == COMPUTE_TF32);
    const bool is_double = type_a == DOUBLE && compute == COMPUTE_DOUBLE;
    if (type_a != type_b || type_a != type_c || (!is_float && !is_double)) return NOT_SUPPORTED;

    auto run = [&](auto zero) {
        using Real = decltype(zero);
        const Real scale = *(const Real*)alpha, keep = *(const Real*)beta;  // read now, also while a stream captures
        std::function<void()> launch = [=] {
            for (long long i = 0; i < count; i++) {
                const Matrix<Real> left{(const Real*)a + i * step_a, lda, op_a == 1, compute == COMPUTE_TF32};
                const Matrix<Real> right{(const Real*)b + i * step_b, ldb, op_b == 1, compute == COMPUTE_TF32};
                multiply(m, n, k, scale, left, right, keep, (Real*)c + i * step_c, ldc);
            }
        };
        if (!capturing || handle->stream != capturing) return launch();
        launches.push_back(launch);
        note(launches.size() - 1);
    };
    if (is_float) run(0.0f);
    else run(0.0);
    return SUCCESS;
}

EXPORT int cublasGemmEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int type_a,
                        int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc, int compute,
                        int algorithm) {
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c,
                                      ldc, 0, 1, compute, algorithm);
}
