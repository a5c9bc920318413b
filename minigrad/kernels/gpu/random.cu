// Random bits from a counter: Philox-4x32-10.
//
// Each block of four numbers is a function of the seed and the block's number alone, so every
// thread computes its blocks independently. `reference.philox` is the same in Python.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

// out[0 .. count - 1]: the words of blocks counter, counter + 1, ...; place holds seed and counter.
__global__ void philox(unsigned int* out, long long count, const unsigned long long* place) {
    const unsigned long long seed = place[0], counter = place[1];
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long block = thread; 4 * block < count; block += threads) {
        const unsigned long long number = counter + block;
        unsigned int word[4] = {(unsigned int)number, (unsigned int)(number >> 32), 0, 0};
        unsigned int key[2] = {(unsigned int)seed, (unsigned int)(seed >> 32)};

        for (int round = 0; round < 10; round++) {
            // Multiply two words by constants, and exchange the halves of the 64-bit products.
            const unsigned int low0 = word[0] * 0xD2511F53u, high0 = __umulhi(word[0], 0xD2511F53u);
            const unsigned int low2 = word[2] * 0xCD9E8D57u, high2 = __umulhi(word[2], 0xCD9E8D57u);
            word[0] = high2 ^ word[1] ^ key[0];
            word[1] = low2;
            word[2] = high0 ^ word[3] ^ key[1];
            word[3] = low0;
            key[0] += 0x9E3779B9u;  // the golden ratio
            key[1] += 0xBB67AE85u;  // sqrt(3) - 1
        }

        for (int i = 0; i < 4 && 4 * block + i < count; i++) {  // of the last block perhaps only a part
            out[4 * block + i] = word[i];
        }
    }
}
