// CUDA C++ for g++, as much of it as our kernels use: they run on the CPU, on NumPy's memory, without a GPU.
//
// Blocks run one after another. The threads of a block are fibers (ucontext) of one thread of the
// operating system: each runs until it waits at a barrier or returns, then the next one runs. So
// only the order of the threads varies, and the caller chooses it: a kernel that lacks a barrier
// gives a different result in at least one of forward, reverse and shuffled order.
//
// Tensor cores: a kernel file wraps its PTX in `#ifdef __CUDACC__`, in functions named as at the
// end of part 3.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

// ---------------------------------------------------------------- 1. Keywords and types of the language

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __constant__ static
#define __shared__ static  // one copy is enough, since blocks run one after another
#define warpSize 32

using std::max;
using std::min;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

#define VECTOR_TYPES(T, name)                                                                     \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                            \
    struct alignas(std::min<size_t>(16, 4 * sizeof(T))) name##4 { T x, y, z, w; };                \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                             \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTOR_TYPES(float, float)
VECTOR_TYPES(double, double)
VECTOR_TYPES(int, int)
VECTOR_TYPES(unsigned, uint)
#undef VECTOR_TYPES

static uint3 threadIdx, blockIdx;  // of the fiber that runs now
static dim3 blockDim, gridDim;

// ---------------------------------------------------------------- 2. Threads and barriers

namespace emulator {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { ready, at_block_barrier, at_warp_barrier, returned };

struct Slot { unsigned char bytes[32]; };  // what a thread shares with the other threads of its warp

struct Thread {
    ucontext_t context;
    uint3 index;
    unsigned number;  // within the block
    State state;
    int line;       // of the .cu file, of the last barrier or warp function
    unsigned mask;  // at a warp barrier: the lanes that it joins
    Slot slot;

    unsigned lane() const { return number % WARP; }
    Thread& neighbour(unsigned lane) const;

    void wait(State reason);
    void sync_block() { wait(State::at_block_barrier); }
    void sync_warp(unsigned lanes = 0xffffffffu) { mask = lanes, wait(State::at_warp_barrier); }

    // Every thread shares a value, `read` reads the others' values, and all wait until all have read.
    template <typename T, typename Read>
    auto exchange(unsigned lanes, const T& value, Read read);
    template <typename T>
    T value_of(unsigned source_lane);

    template <typename T>
    T shuffle(unsigned lanes, T value, int source, int width = WARP) {
        return take(lanes, value, segment(width) + (source & (width - 1)), width);
    }
    template <typename T>
    T shuffle_xor(unsigned lanes, T value, int bits, int width = WARP) { return take(lanes, value, lane() ^ bits, width); }
    template <typename T>
    T shuffle_down(unsigned lanes, T value, unsigned by, int width = WARP) { return take(lanes, value, lane() + by, width); }
    template <typename T>
    T shuffle_up(unsigned lanes, T value, unsigned by, int width = WARP) { return take(lanes, value, lane() - by, width); }

    unsigned ballot(unsigned lanes, int predicate);
    int any(unsigned lanes, int predicate) { return ballot(lanes, predicate) != 0; }
    int all(unsigned lanes, int predicate) { return ballot(lanes, !predicate) == 0; }

    void mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b);

  private:
    unsigned segment(int width) const { return lane() / width * width; }
    template <typename T>
    T take(unsigned lanes, T value, unsigned source, int width) {  // outside its segment a thread reads its own value
        const unsigned from = source / width * width == segment(width) ? source : lane();
        return exchange(lanes, value, [&] { return value_of<T>(from); });
    }
};

static std::vector<Thread> threads;  // of the block that runs now
static Thread* current;
static ucontext_t scheduler;
static std::function<void()> call_kernel;
static std::vector<char> dynamic_shared_memory;
static std::string error;

inline char* dynamic_shared() { return dynamic_shared_memory.data(); }

inline Thread& at_line(int line) {
    current->line = line;
    return *current;
}

[[noreturn]] inline void fail(const std::string& message) {
    error = message;
    setcontext(&scheduler);
    abort();
}

inline void Thread::wait(State reason) {
    state = reason;
    swapcontext(&context, &scheduler);
}

inline Thread& Thread::neighbour(unsigned lane) const { return threads[number - number % WARP + lane]; }

template <typename T>
T Thread::value_of(unsigned source_lane) {
    const unsigned source = number - lane() + source_lane;
    if (!(mask >> source_lane & 1) || source >= threads.size() || threads[source].state == State::returned)
        fail("line " + std::to_string(line) + ": a thread reads from lane " + std::to_string(source_lane) +
             " of its warp, which does not take part");
    T value;
    memcpy(&value, threads[source].slot.bytes, sizeof value);
    return value;
}

template <typename T, typename Read>
auto Thread::exchange(unsigned lanes, const T& value, Read read) {
    static_assert(sizeof(T) <= sizeof(Slot));
    memcpy(slot.bytes, &value, sizeof value);
    sync_warp(lanes);
    auto result = read();
    sync_warp(lanes);
    return result;
}

inline unsigned Thread::ballot(unsigned lanes, int predicate) {
    return exchange(lanes, predicate != 0, [&] {
        unsigned votes = 0;
        for (unsigned i = 0; i < WARP && number - lane() + i < threads.size(); i++)
            if ((lanes >> i & 1) && neighbour(i).state != State::returned) votes |= (unsigned)value_of<bool>(i) << i;
        return votes;
    });
}

}  // namespace emulator

#define __syncthreads emulator::at_line(__LINE__).sync_block
#define __syncwarp emulator::at_line(__LINE__).sync_warp
#define __shfl_sync emulator::at_line(__LINE__).shuffle
#define __shfl_xor_sync emulator::at_line(__LINE__).shuffle_xor
#define __shfl_down_sync emulator::at_line(__LINE__).shuffle_down
#define __shfl_up_sync emulator::at_line(__LINE__).shuffle_up
#define __ballot_sync emulator::at_line(__LINE__).ballot
#define __any_sync emulator::at_line(__LINE__).any
#define __all_sync emulator::at_line(__LINE__).all
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---------------------------------------------------------------- 3. Functions of the GPU

// Atomics return the old value. One fiber runs at a time, so plain reads and writes are atomic.
template <typename T> T emulator_replace(T* at, T value) { return std::exchange(*at, value); }
template <typename T, typename U> T atomicAdd(T* at, U x) { return emulator_replace(at, (T)(*at + (T)x)); }
template <typename T, typename U> T atomicSub(T* at, U x) { return emulator_replace(at, (T)(*at - (T)x)); }
template <typename T, typename U> T atomicMax(T* at, U x) { return emulator_replace(at, max(*at, (T)x)); }
template <typename T, typename U> T atomicMin(T* at, U x) { return emulator_replace(at, min(*at, (T)x)); }
template <typename T, typename U> T atomicExch(T* at, U x) { return emulator_replace(at, (T)x); }
template <typename T, typename U, typename V> T atomicCAS(T* at, U expected, V x) {
    return emulator_replace(at, *at == (T)expected ? (T)x : *at);
}

template <typename T> T __ldg(const T* at) { return *at; }
template <typename T> T __ldcs(const T* at) { return *at; }
template <typename T> void __stcs(T* at, T value) { *at = value; }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

template <typename To, typename From> To emulator_same_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline int __float_as_int(float x) { return emulator_same_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator_same_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulator_same_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator_same_bits<float>(x); }

// cvt.rna.tf32.f32: the upper 19 bits of a float, rounded to nearest.
inline unsigned to_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32: D (16 x 8) += A (16 x 8) B (8 x 8) by the 32
// threads of a warp. Each lane holds 4 elements of A, 2 of B and 4 of D: PTX ISA, "Matrix fragments
// for mma.m16n8k8".
inline void emulator::Thread::mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b) {
    struct Fragments { unsigned a[4], b[2]; } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    auto number = [](unsigned bits) { return __uint_as_float(bits & 0xffffe000u); };
    exchange(0xffffffffu, mine, [&] {
        for (int i = 0; i < 4; i++) {
            const int row = lane() / 4 + i / 2 * 8, column = lane() % 4 * 2 + i % 2;
            for (int k = 0; k < 8; k++) {
                const Fragments has_a = value_of<Fragments>(row % 8 * 4 + k % 4);
                const Fragments has_b = value_of<Fragments>(column * 4 + k % 4);
                d[i] += number(has_a.a[row / 8 + k / 4 * 2]) * number(has_b.b[k / 4]);
            }
        }
        return 0;
    });
}
#define mma_m16n8k8_tf32 emulator::at_line(__LINE__).mma_m16n8k8_tf32

// ---------------------------------------------------------------- 4. Launching a kernel

namespace emulator {

// The order in which `count` things run: 0 forward, 1 reverse, any other number shuffles.
inline std::vector<unsigned> order_of(size_t count, unsigned order) {
    std::vector<unsigned> numbers(count);
    for (size_t i = 0; i < count; i++) numbers[i] = i;
    if (order == 1) std::reverse(numbers.begin(), numbers.end());
    unsigned random = order;
    for (size_t i = count; order > 1 && i > 1; i--) {
        random = random * 1664525u + 1013904223u;
        std::swap(numbers[i - 1], numbers[(random >> 8) % i]);
    }
    return numbers;
}

inline void run_thread() {
    call_kernel();
    current->wait(State::returned);
}

inline void resume(Thread& thread) {
    current = &thread;
    threadIdx = thread.index;
    swapcontext(&scheduler, &thread.context);
}

inline void start_threads(char* stacks) {
    for (unsigned i = 0; i < threads.size(); i++) {
        Thread& thread = threads[i];
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = stacks + i * STACK_BYTES;
        thread.context.uc_stack.ss_size = STACK_BYTES;
        makecontext(&thread.context, run_thread, 0);
        thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        thread.number = i;
        thread.state = State::ready;
        thread.line = 0;
    }
}

// A warp barrier opens when all the lanes that it joins wait at it; lanes that have returned do not count.
inline bool open_warp_barriers() {
    std::vector<Thread*> released;
    for (Thread& thread : threads) {
        if (thread.state != State::at_warp_barrier) continue;
        bool complete = true;
        for (unsigned i = 0; i < WARP && thread.number - thread.lane() + i < threads.size(); i++) {
            const Thread& other = thread.neighbour(i);
            if ((thread.mask >> i & 1) && other.state != State::returned)
                complete &= other.state == State::at_warp_barrier && other.mask == thread.mask;
        }
        if (complete) released.push_back(&thread);
    }
    for (Thread* thread : released) thread->state = State::ready;
    return !released.empty();
}

// The block barrier opens when every thread of the block waits at the same one.
inline bool open_block_barrier() {
    for (const Thread& thread : threads)
        if (thread.state != State::at_block_barrier || thread.line != threads[0].line) return false;
    for (Thread& thread : threads) thread.state = State::ready;
    return true;
}

inline bool all_returned() {
    return std::all_of(threads.begin(), threads.end(), [](const Thread& thread) { return thread.state == State::returned; });
}

inline std::string who_waits_where() {
    std::map<std::string, int> counts;
    for (const Thread& thread : threads) {
        const std::string at = " at line " + std::to_string(thread.line);
        counts[thread.state == State::returned           ? "have returned"
               : thread.state == State::at_block_barrier ? "wait for the block" + at
                                                         : "wait for their warp" + at]++;
    }
    std::string text = "the threads of a block do not meet at one barrier:";
    for (const auto& [what, count] : counts) text += " " + std::to_string(count) + " " + what + ";";
    return text;
}

inline void run_block(unsigned order, char* stacks) {
    const std::vector<unsigned> numbers = order_of(threads.size(), order);
    start_threads(stacks);
    while (error.empty() && !all_returned()) {
        for (unsigned i : numbers) {
            if (threads[i].state == State::ready) resume(threads[i]);
            if (!error.empty()) return;
        }
        if (!open_warp_barriers() && !open_block_barrier() && !all_returned()) error = who_waits_where();
    }
}

// Run the kernel with arguments passed by address. Returns an error message, or "".
template <typename... Parameters>
const char* launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* block, size_t shared_bytes,
                   unsigned order, void** arguments) {
    std::tuple<std::remove_const_t<Parameters>...> values;
    unsigned i = 0;
    std::apply([&](auto&... value) { (memcpy((void*)&value, arguments[i++], sizeof value), ...); }, values);
    call_kernel = [&] { std::apply(kernel, values); };

    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    dynamic_shared_memory.assign(shared_bytes, (char)0xff);  // as floats: NaN
    threads.resize((size_t)blockDim.x * blockDim.y * blockDim.z);
    const std::unique_ptr<char[]> stacks(new char[threads.size() * STACK_BYTES]);
    error.clear();
    for (unsigned b : order_of((size_t)gridDim.x * gridDim.y * gridDim.z, order)) {
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
        run_block(order, stacks.get());
        if (!error.empty()) break;
    }
    return error.c_str();
}

// A parameter's type as NumPy writes it: "f4", "V64" for a struct, "f4*" for a pointer to numbers,
// "any*" for another pointer.
template <typename T>
std::string type_name() {
    if constexpr (std::is_pointer_v<T>) {
        using Pointee = std::remove_cv_t<std::remove_pointer_t<T>>;
        if constexpr (std::is_arithmetic_v<Pointee>) return type_name<Pointee>() + "*";
        return "any*";
    } else {
        const char* kind = std::is_class_v<T>            ? "V"
                           : std::is_same_v<T, bool>     ? "b"
                           : std::is_floating_point_v<T> ? "f"
                           : std::is_signed_v<T>         ? "i"
                                                         : "u";
        return kind + std::to_string(sizeof(T));
    }
}

template <typename... Parameters>
std::string signature(void (*)(Parameters...)) {
    std::string text;
    ((text += type_name<std::remove_const_t<Parameters>>() + " "), ...);
    return text;
}

}  // namespace emulator
