#!/usr/bin/env python3
"""Writes golden.h: the fusion model's scores and gradients by PyTorch in float64.

usage: golden.py > golden.h     (needs torch; nothing of this project's code)

Parameters and batch come from one counter, number(), which golden_test.c has too, so that only
results are stored: scores, and of every gradient its norm and its product with more numbers.
"""
import textwrap

import torch

torch.set_default_dtype(torch.float64)
counter = 0


def number():
    """Uniform in [-0.5, 0.5), exact in float: 24 bits of the counter, mixed as MurmurHash3 ends."""
    global counter
    counter += 1
    x = counter
    x = (x ^ x >> 16) * 0x85ebca6b % 2**32
    x = (x ^ x >> 13) * 0xc2b2ae35 % 2**32
    return ((x ^ x >> 16) >> 8) / 2**24 - 0.5


def numbers(*shape):
    n = torch.Size(shape).numel()
    return torch.tensor([number() for _ in range(n)]).reshape(shape)


def below(bound):
    return int((number() + 0.5) * bound)


USERS, MOVIES, EXAMPLES = 7, 8, 20
TABLES = {'user': (7, 32), 'gender': (2, 16), 'age': (7, 16), 'occupation': (21, 16),
          'movie': (8, 32), 'genre': (6, 32), 'word': (20, 32)}
LAYERS = {'user_fc': (32, 32), 'gender_fc': (16, 16), 'age_fc': (16, 16),
          'occupation_fc': (16, 16), 'user_combined': (200, 80), 'movie_fc': (32, 32),
          'title_conv': (32, 96), 'movie_combined': (200, 96)}

P = {name: numbers(*shape) for name, shape in TABLES.items()}
for name, (out, inner) in LAYERS.items():
    P[name + '.weight'] = numbers(out, inner)
    P[name + '.bias'] = numbers(out)
users = [(u, below(2), below(7), below(21)) for u in range(USERS)]
movies = [(m, [below(6) for _ in range(m % 4)], [below(20) for _ in range(m % 6)])
          for m in range(MOVIES)]
examples = [(below(USERS), below(MOVIES), 2 * (1 + below(5)) - 5) for _ in range(EXAMPLES)]
for p in P.values():
    p.requires_grad_()


def fc(name, x):
    return P[name + '.weight'] @ x + P[name + '.bias']


def title(words, pool):
    if not words:
        return torch.zeros(32)
    e = torch.cat([torch.zeros(1, 32), P['word'][words], torch.zeros(1, 32)])
    # nn.functional's convolution: [filters, dim, width] over [dim, time].
    kernel = P['title_conv.weight'].reshape(32, 3, 32).permute(0, 2, 1)
    z = torch.nn.functional.conv1d(e.T[None], kernel, P['title_conv.bias'])[0]
    h = torch.tanh(z)
    return h.sum(1) if pool == 'sum' else h.max(1).values


def score(user, movie, pool):
    u, gender, age, job = user
    m, genres, words = movie
    x = torch.cat([fc('user_fc', P['user'][u]), fc('gender_fc', P['gender'][gender]),
                   fc('age_fc', P['age'][age]), fc('occupation_fc', P['occupation'][job])])
    y = torch.cat([fc('movie_fc', P['movie'][m]), P['genre'][genres].sum(0), title(words, pool)])
    x, y = torch.tanh(fc('user_combined', x)), torch.tanh(fc('movie_combined', y))
    return 5 * x @ y / (x.norm() * y.norm())


def row(values):
    text = '{' + ', '.join('%.12g' % v for v in values) + '}'
    return textwrap.fill(text, 70, subsequent_indent='\t\t\t')


print(f'''/* Written by golden.py with torch {torch.__version__}, in float64. Do not edit. */
/* clang-format off */
#ifndef MARQUEE_TESTS_GOLDEN_H
#define MARQUEE_TESTS_GOLDEN_H

enum {{ GOLDEN_USERS = {USERS}, GOLDEN_MOVIES = {MOVIES}, GOLDEN_EXAMPLES = {EXAMPLES} }};

struct golden_gradient {{
\tconst char *name;
\tdouble norm, product;
}};

struct golden {{
\tconst char *pooling;
\tdouble scores[GOLDEN_EXAMPLES];
\tstruct golden_gradient gradients[{len(P)}];
}};

static const struct golden goldens[] = {{''')
start = counter
for pool in 'sum', 'max':
    counter = start
    scores = torch.stack([score(users[u], movies[m], pool) for u, m, _ in examples])
    loss = ((scores - torch.tensor([float(l) for _, _, l in examples])) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(P.values()))
    print(f'\t{{"{pool}",\n\t\t{row(scores.tolist())},\n\t\t{{')
    for name, g in zip(P, gradients):
        print(f'\t\t\t{{"{name}", {g.norm():.12g}, {(g * numbers(*g.shape)).sum():.12g}}},')
    print('\t\t}},')
print('};\n\n#endif')
