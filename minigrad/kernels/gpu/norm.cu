// Normalisation over the rows of x (groups, rows, channels).
//
// A block of threads takes TILE channels, contiguous in memory, and BLOCK rows of a group; each of
// its LANES lanes takes every LANES-th row. Sums over all rows take two launches: each block stores
// its partial sums, then one block for each group and tile adds them. The order of all sums is
// fixed, so results are reproducible.

const int TILE = 32, LANES = 8;  // threads of a block; norm.py has the same numbers
const int BLOCK = 64;            // rows

// Where a thread works. Threads beyond the last channel have no rows.
struct Place {
    long long group, channel, first, end;  // rows first, first + LANES, ... before end
    long long start;                       // of the group's elements of this channel
    bool inside;
};

__device__ Place find_place(long long rows, long long channels) {
    const long long blocks = (rows + BLOCK - 1) / BLOCK, block = blockIdx.x % blocks;
    Place place;
    place.group = blockIdx.x / blocks;
    place.channel = (long long)blockIdx.y * TILE + threadIdx.x;
    place.inside = place.channel < channels;
    place.first = block * BLOCK + threadIdx.y;
    place.end = place.inside ? min((block + 1) * BLOCK, rows) : 0;
    place.start = place.group * rows * channels + place.channel;
    return place;
}

// Count, mean, and sum of the squared distances from the mean.
struct Moments {
    double count, mean, squares;
};

// The moments of the union of two sets.
// Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", Am. Stat. 37 (1983).
__device__ Moments merge(Moments a, Moments b) {
    const double count = a.count + b.count;
    if (count == 0) return a;
    const double distance = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

struct Pair {
    double first, second;
};

__device__ Pair merge(Pair a, Pair b) { return {a.first + b.first, a.second + b.second}; }

// The parts of all lanes of a channel, merged in order. Lane 0 returns the result.
template <typename Part>
__device__ Part merge_lanes(Part mine) {
    __shared__ Part parts[LANES][TILE];
    parts[threadIdx.y][threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.y == 0) {
        for (int lane = 1; lane < LANES; lane++) mine = merge(mine, parts[lane][threadIdx.x]);
    }
    return mine;
}

// parts (groups, blocks, channels): the moments of each block's rows. A thread sums distances from
// its first row: small numbers even if the data are far from zero.
template <typename Real>
__global__ void block_moments(const Real* x, Moments* parts, long long rows, long long channels) {
    const Place at = find_place(rows, channels);
    Moments mine = {0, 0, 0};
    if (at.first < at.end) {
        const Real origin = x[at.start + at.first * channels];
        Real total = 0, squares = 0;
        for (long long r = at.first; r < at.end; r += LANES) {
            const Real d = x[at.start + r * channels] - origin;
            total += d;
            squares += d * d;
            mine.count++;
        }
        mine.mean = origin + total / mine.count;
        mine.squares = squares - total * (total / mine.count);
    }
    mine = merge_lanes(mine);
    if (threadIdx.y == 0 && at.inside) parts[blockIdx.x * channels + at.channel] = mine;
}

// The parts of all blocks, merged. Lane 0 returns the result.
template <typename Part>
__device__ Part merge_blocks(const Part* parts, long long group, long long channel, long long rows, long long channels) {
    const long long blocks = (rows + BLOCK - 1) / BLOCK;
    Part mine = {};
    for (long long b = threadIdx.y; channel < channels && b < blocks; b += LANES) {
        mine = merge(mine, parts[(group * blocks + b) * channels + channel]);
    }
    return merge_lanes(mine);
}

// mean and var (groups, channels) from the blocks' moments.
template <typename Real>
__global__ void moments(const Moments* parts, Real* mean, Real* var, long long rows, long long channels) {
    const long long group = blockIdx.x, channel = (long long)blockIdx.y * TILE + threadIdx.x;
    const Moments all = merge_blocks(parts, group, channel, rows, channels);
    if (threadIdx.y == 0 && channel < channels) {
        mean[group * channels + channel] = all.mean;
        var[group * channels + channel] = all.squares / rows;
    }
}

// y = (x - mean) / sqrt(var + eps) * weight + bias
template <typename Real>
__global__ void normalize(const Real* x, const Real* mean, const Real* var, const Real* weight, const Real* bias, Real* y,
                          long long rows, long long channels, Real eps) {
    const Place at = find_place(rows, channels);
    if (!at.inside) return;
    const long long k = at.group * channels + at.channel;
    const Real center = mean[k], scale = weight[at.channel] / sqrt(var[k] + eps), shift = bias[at.channel];
    for (long long r = at.first; r < at.end; r += LANES) {
        const long long i = at.start + r * channels;
        y[i] = (x[i] - center) * scale + shift;
    }
}

// parts (groups, blocks, channels): the sums over each block's rows of g and of g (x - mean).
template <typename Real>
__global__ void block_sums(const Real* g, const Real* x, const Real* mean, Pair* parts, long long rows, long long channels) {
    const Place at = find_place(rows, channels);
    Real total = 0, products = 0;
    if (at.inside) {
        const Real center = mean[at.group * channels + at.channel];
        for (long long r = at.first; r < at.end; r += LANES) {
            const long long i = at.start + r * channels;
            total += g[i];
            products += g[i] * (x[i] - center);
        }
    }
    const Pair sums = merge_lanes(Pair{(double)total, (double)products});
    if (threadIdx.y == 0 && at.inside) parts[blockIdx.x * channels + at.channel] = sums;
}

// sum_g and sum_g_xhat (groups, channels) from the blocks' sums.
template <typename Real>
__global__ void sums(const Pair* parts, const Real* var, Real* sum_g, Real* sum_g_xhat, long long rows, long long channels,
                     Real eps) {
    const long long group = blockIdx.x, channel = (long long)blockIdx.y * TILE + threadIdx.x;
    const Pair all = merge_blocks(parts, group, channel, rows, channels);
    if (threadIdx.y == 0 && channel < channels) {
        const long long k = group * channels + channel;
        sum_g[k] = all.first;
        sum_g_xhat[k] = all.second / sqrt(var[k] + eps);
    }
}

// dx = weight / std (g - mean(g) - xhat mean(g xhat))
template <typename Real>
__global__ void normalize_backward(const Real* g, const Real* x, const Real* weight, const Real* mean, const Real* var,
                                   const Real* sum_g, const Real* sum_g_xhat, Real* dx, long long rows, long long channels,
                                   Real eps) {
    const Place at = find_place(rows, channels);
    if (!at.inside) return;
    const long long k = at.group * channels + at.channel;
    const Real center = mean[k], inverse = 1 / sqrt(var[k] + eps), scale = weight[at.channel] * inverse;
    const Real mean_g = sum_g[k] / rows, slope = sum_g_xhat[k] / rows * inverse;
    for (long long r = at.first; r < at.end; r += LANES) {
        const long long i = at.start + r * channels;
        dx[i] = scale * (g[i] - mean_g - (x[i] - center) * slope);
    }
}

// y = x * scale + shift, scale and shift (channels,)
template <typename Real>
__global__ void affine(const Real* x, const Real* scale, const Real* shift, Real* y, long long rows, long long channels) {
    const Place at = find_place(rows, channels);
    for (long long r = at.first; r < at.end; r += LANES) {
        const long long i = at.start + r * channels;
        y[i] = x[i] * scale[at.channel] + shift[at.channel];
    }
}
