"""GANs on points in one and two dimensions, where one can see what they learn: `python -m gans.toy`

The whole theory on one page. p is the density of the data, q that of the points that the generator G makes.

1. Divergence. G learns by reducing a divergence between p and q, a number that is 0 only if p = q.
   Neither density is known, only samples of both. A network D that scores points can be trained on
   samples: the better D can tell generated points from data, the larger the divergence.

2. What D measures. In a GAN, D(x) is the probability that x is data, and D maximises
       V = E_p log D + E_q log(1 - D).
   At each x the best value is  D*(x) = p(x) / (p(x) + q(x)).  Inserting it gives
       V(D*) = 2 JSD(p, q) - 2 log 2,
   with the Jensen-Shannon divergence, which runs from 0 (p = q, where D* = 1/2) to log 2. So a G
   that minimises V minimises the JSD. Other losses measure other divergences. LSGAN's is the integral
   of (p - q)^2 / (p + q), which the paper writes as Pearson's chi^2(p + q || 2 q). f-GAN has a loss
   for each convex f, with its conjugate f*:  sup over T of  E_p T - E_q f*(T)  is the divergence  E_q f(p / q).

3. Why the JSD saturates. These divergences compare p and q point by point. If the supports of p and
   q are disjoint, the JSD is log 2 however far apart they are, and its gradient is 0. For two
   normal distributions with standard deviation 1 whose means are d apart:

       d                              0.5     1       2       4       8
       JSD                            0.030   0.111   0.337   0.633   0.693  (log 2 = 0.693)
       Wasserstein distance           0.5     1       2       4       8
       gradient of log(1 - D*)        0.235   0.398   0.450   0.137   0.00039
       gradient of -log D*            0.265   0.602   1.550   3.863   8.000

   (the last two: mean size over q). Where D* is near 0, so is the gradient of log(1 - D*). `--loss
   saturating` minimises that, as in the theory above. `gan` minimises -log D instead, whose
   gradient does not vanish; it is then no longer the JSD's.

4. What Wasserstein changes. The Wasserstein distance W is the least work that moves the mass of q
   onto p: mass times distance. It shrinks steadily as q approaches p, with overlap or without. By
   Kantorovich and Rubinstein, it is
       sup E_p f - E_q f   over all functions f whose slope is at most 1 everywhere.
   So D becomes a critic f, a score without bounds, and its slope has to be limited.

5. What limiting the slope costs. WGAN clips the critic's weights. That limits the slope to an
   unknown constant K, so the estimate is about K W, for the functions that such a network can
   represent. WGAN-GP adds a penalty, lambda E (|f'| - 1)^2, at points between data and generated
   points, which have a density m. A finite lambda allows some excess: in one dimension, with the
   cumulative distributions P and Q, the best slope is 1 + |Q - P| / (2 lambda m) in size, and the
   estimate is
       W + the integral of (Q - P)^2 / (2 lambda m).
   The other price is time: the penalty is a gradient, and training the critic differentiates it
   again.

6. What the theory leaves out. D and G are networks that take turns, so that D is never optimal.
   Near p = q, a D that is still steep drives G away again. R1 and R2 (R3GAN) penalise D's slope at
   data and at generated points, which makes this equilibrium stable. And G may serve only some of
   the modes: mode collapse, which modes.py counts.

`python -m gans.toy --theory` checks 2 to 5: it trains D to its optimum on known densities, and
draws item 3.

data.py       the distributions
losses.py     what D and G descend, for each loss
trainer.py    the two networks and their step
modes.py      how much of the data the generator covers
theory.py     the checks
pictures.py   the drawings

Sources: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Mao et al., "Least squares GANs", ICCV 2017; Nowozin et
al., "f-GAN", NeurIPS 2016; Arjovsky and Bottou, "Towards principled methods for training GANs", ICLR 2017; Arjovsky et al.,
"Wasserstein GAN", ICML 2017; Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017; Mescheder et al., "Which
training methods for GANs do actually converge?", ICML 2018.
"""
