// Max-pooling. Images are channels-last, (n, height, width, channels), and the channel is the
// fastest index everywhere, so that neighbouring threads read neighbouring numbers.
//
// In both kernels a thread computes one output number, in grid-stride loops as in elementwise.cu:
// the grid's y counts images, its x the numbers of one image (fewer than 2^31, so that the
// divisions for row and column take 32 bits, which are faster than 64).
//
// In `max_pool_place` windows may overlap: a thread looks for the maximum of each window that
// contains its pixel, and sums the numbers of the windows whose maximum is this pixel. No other
// thread writes this number, so no atomics are needed, and the order of the sum is fixed.

// Pixels start .. stop - 1 along one axis.
struct Span {
    int start, stop;
};

// The pixels of the image in a window, along one axis.
__device__ Span window(int position, int kernel, int stride, int padding, int size) {
    const int start = position * stride - padding;
    return {max(start, 0), min(start + kernel, size)};
}

// The windows that contain a pixel, along one axis.
__device__ Span windows_at(int pixel, int kernel, int stride, int padding, int positions) {
    const int end = pixel + padding;  // the last window starts here or before, the first at end - kernel + 1 or after
    const int first = end < kernel ? 0 : (end - kernel) / stride + 1;
    return {first, min(end / stride + 1, positions)};
}

// The place, row * width + column, of the largest x: the first of equal values, or the last NaN.
// x is one channel of an image.
template <typename Real>
__device__ unsigned place_of_maximum(const Real* x, Span rows, Span columns, int width, int channels) {
    unsigned place = rows.start * width + columns.start;
    Real best = x[(long long)place * channels];
    for (int row = rows.start; row < rows.stop; row++) {
        for (int column = columns.start; column < columns.stop; column++) {
            const unsigned pixel = row * width + column;
            const Real value = x[(long long)pixel * channels];
            if (value > best || value != value) {
                best = value;
                place = pixel;
            }
        }
    }
    return place;
}

// y (n, rows, columns, channels) = h at the place of the largest x in each window.
template <typename Real>
__global__ void max_pool_pick(const Real* h, const Real* x, Real* y, long long images, int channels, int height, int width,
                              int rows, int columns, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h,
                              int padding_w) {
    const unsigned count = rows * columns * channels;
    for (long long n = blockIdx.y; n < images; n += gridDim.y) {
        for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
            const unsigned position = i / channels;
            const Span down = window(position / columns, kernel_h, stride_h, padding_h, height);
            const Span across = window(position % columns, kernel_w, stride_w, padding_w, width);
            const long long channel = n * height * width * channels + i % channels;  // its offset
            const unsigned place = place_of_maximum(x + channel, down, across, width, channels);
            y[n * count + i] = h[channel + (long long)place * channels];
        }
    }
}

// y (n, height, width, channels) = the sum of g over the windows whose largest x is at this pixel.
template <typename Real>
__global__ void max_pool_place(const Real* g, const Real* x, Real* y, long long images, int channels, int height, int width,
                               int rows, int columns, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h,
                               int padding_w) {
    const unsigned count = height * width * channels;
    for (long long n = blockIdx.y; n < images; n += gridDim.y) {
        for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
            const unsigned pixel = i / channels, channel = i % channels;
            const Span down = windows_at(pixel / width, kernel_h, stride_h, padding_h, rows);
            const Span across = windows_at(pixel % width, kernel_w, stride_w, padding_w, columns);
            const Real* values = x + n * count + channel;
            const Real* numbers = g + n * rows * columns * channels + channel;
            Real sum = 0;
            for (int a = down.start; a < down.stop; a++) {
                for (int b = across.start; b < across.stop; b++) {
                    const Span seen_rows = window(a, kernel_h, stride_h, padding_h, height);
                    const Span seen_columns = window(b, kernel_w, stride_w, padding_w, width);
                    if (place_of_maximum(values, seen_rows, seen_columns, width, channels) == pixel) {
                        sum += numbers[(long long)(a * columns + b) * channels];
                    }
                }
            }
            y[n * count + i] = sum;
        }
    }
}
