// im2col and its transpose, col2im. Between the two a convolution is a matrix product. Images are
// channels-last, (n, height, width, channels). im2col writes, at each position of the window on
// each image, the kernel height x kernel width x channels numbers that the window sees: a row of
// the matrix.
//
// A block has blockDim.y rows of threads. The grid's y counts images. Its x and the rows of a block
// count the positions (or pixels) of one image. Along a row, the threads take the numbers of one
// position (or pixel), so that neighbouring threads read and write neighbouring numbers. All three
// are grid-stride loops, as in elementwise.cu. Indices within an image fit into 32 bits, which
// keeps the divisions fast; offsets in memory take 64.

// y (n, rows, columns, kernel_h, kernel_w, channels) = what the window sees of x at each position;
// 0 beyond the border.
template <typename Real>
__global__ void im2col(const Real* x, Real* y, long long images, int channels, int height, int width, int rows, int columns,
                       int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h,
                       int dilation_w) {
    const int positions = rows * columns, size = kernel_h * kernel_w * channels;
    for (long long n = blockIdx.y; n < images; n += gridDim.y) {
        for (int p = blockIdx.x * blockDim.y + threadIdx.y; p < positions; p += gridDim.x * blockDim.y) {
            const int top = p / columns * stride_h - padding_h, left = p % columns * stride_w - padding_w;
            for (int i = threadIdx.x; i < size; i += blockDim.x) {
                const int tap = i / channels;
                const int row = top + tap / kernel_w * dilation_h, column = left + tap % kernel_w * dilation_w;
                const bool inside = row >= 0 && row < height && column >= 0 && column < width;
                const long long pixel = (n * height + row) * width + column;
                y[(n * positions + p) * size + i] = inside ? x[pixel * channels + i % channels] : 0;
            }
        }
    }
}

// Along one axis, the first position whose window, `span` pixels wide, reaches this pixel.
__device__ int first_position(int pixel, int span, int stride) {
    return pixel < span ? 0 : (pixel - span) / stride + 1;
}

// x (n, height, width, channels) = at each pixel, the sum of all numbers in y that belong to it:
// the transpose of `im2col`.
//
// A thread computes one number: it loops over the positions whose windows contain its pixel, and
// sums what y has there for this pixel. No other thread writes this number, so no atomics are
// needed, and the order of the sum is fixed.
template <typename Real>
__global__ void col2im(Real* x, const Real* y, long long images, int channels, int height, int width, int rows, int columns,
                       int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h,
                       int dilation_w) {
    const int pixels = height * width, size = kernel_h * kernel_w * channels;
    for (long long n = blockIdx.y; n < images; n += gridDim.y) {
        for (int p = blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += gridDim.x * blockDim.y) {
            const int row = p / width + padding_h, column = p % width + padding_w;  // counted from the border of the padding
            const int top = first_position(row, dilation_h * (kernel_h - 1) + 1, stride_h);
            const int left = first_position(column, dilation_w * (kernel_w - 1) + 1, stride_w);
            const int bottom = min(row / stride_h, rows - 1), right = min(column / stride_w, columns - 1);
            for (int c = threadIdx.x; c < channels; c += blockDim.x) {
                Real sum = 0;
                for (int i = top; i <= bottom; i++) {
                    const int down = row - i * stride_h;
                    if (down % dilation_h) continue;  // between two taps
                    for (int j = left; j <= right; j++) {
                        const int across = column - j * stride_w;
                        if (across % dilation_w) continue;
                        const int tap = down / dilation_h * kernel_w + across / dilation_w;
                        sum += y[((n * rows + i) * columns + j) * size + tap * channels + c];
                    }
                }
                x[(n * pixels + p) * channels + c] = sum;
            }
        }
    }
}
