from gans.cyclegan import CycleGAN
from gans.training.cli import main

if __name__ == "__main__":
    main(CycleGAN)
