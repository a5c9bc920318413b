// Numbers from the host, passed as kernel parameters: the driver copies these at the launch, so the
// host does not have to wait.

const int WORDS = 64;  // of 8 bytes; numbers.py has the same number

struct Words {
    unsigned long long at[WORDS];
};

// out[0 .. count - 1]: the first words. One block of WORDS threads.
__global__ void store(unsigned long long* out, int count, Words words) {
    if (threadIdx.x < count) out[threadIdx.x] = words.at[threadIdx.x];
}
