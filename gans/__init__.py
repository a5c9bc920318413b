"""GAN trainers on the minigrad engine, one module each: `python -m gans.mnist_gan`."""
