#!/usr/bin/env python3
"""Replays training steps of the fusion model in float64 and compares every tensor.

usage: replay.py --data DIR --initial MODEL_DIR --final MODEL_DIR --test-ratings FILE
                 [--steps 20] [--batch-size 256] [--lanes 8] [--learning-rate 0.2]
                 [--pooling sum|max] [--tolerance 1e-5] [--update-tolerance 2e-4]

An outsider's account of what training does, with numpy and none of the project's code. DIR is in
ml-1m's layout. Both model directories are exports of one training run with --optimizer sgd,
--shuffle none, --unknown-rate 0 and --test-ratings FILE (so that every line of ratings.dat is a
training example, in file order): of its initial parameters (--max-steps 0) and of those after the
steps. Starting from the initial parameters, the steps are taken again here, by formulas written
down from the model's description, and each tensor is compared three ways:

    norm     |theirs - ours| / |ours|
    max      max |theirs - ours| / max |ours|
    update   the norm of (final - initial), theirs against ours: without it, parameters that did
             not move would pass. It is bounded by float's rounding of the parameters themselves,
             so its tolerance is its own.

Exit 1 when any is above its tolerance.
"""
import argparse
import json
import os
import re
import struct
import sys

import numpy as np

AGES = [1, 18, 25, 35, 45, 50, 56]
TABLES = ['user', 'gender', 'age', 'occupation', 'movie', 'genre', 'word']
LAYERS = ['user_fc', 'gender_fc', 'age_fc', 'occupation_fc', 'user_combined', 'movie_fc',
          'title_conv', 'movie_combined']
NAMES = [t + '.weight' for t in TABLES] + [l + s for l in LAYERS for s in ('.weight', '.bias')]


def lines(*path):
    with open(os.path.join(*path), encoding='latin-1', newline='\n') as f:
        return [line.rstrip('\r\n').split('::') for line in f if line.strip()]


def read_model(directory):
    """The tensors of model.safetensors: 8 bytes of header size, a JSON header, the bytes."""
    path = os.path.join(directory, 'model.safetensors')
    with open(path, 'rb') as f:
        blob = f.read()
    size, = struct.unpack('<Q', blob[:8])
    header = json.loads(blob[8:8 + size])
    tensors = {}
    for name in NAMES:
        if name not in header:
            sys.exit(f'{path}: no tensor {name}')
        entry = header[name]
        if entry['dtype'] != 'F32':
            sys.exit(f'{path}: {name} is {entry["dtype"]}, expected F32')
        begin, end = entry['data_offsets']
        values = np.frombuffer(blob[8 + size + begin:8 + size + end], '<f4')
        tensors[name] = values.reshape(entry['shape']).astype(np.float64)
    return tensors


class Data:
    """Features by id; words and genres are numbered in the order of their UTF-8 bytes."""

    def __init__(self, directory):
        self.users = {}
        for user, gender, age, occupation, _ in lines(directory, 'users.dat'):
            self.users[int(user)] = ('MF'.index(gender), AGES.index(int(age)), int(occupation))
        titles, genres = {}, {}
        for movie, title, categories in lines(directory, 'movies.dat'):
            titles[int(movie)] = re.match(r'^(.*)\((\d+)\)$', title).group(1).lower().split()
            genres[int(movie)] = categories.split('|')

        def numbers(lists):
            words = sorted({w for l in lists.values() for w in l}, key=lambda w: w.encode())
            number = {w: i for i, w in enumerate(words)}
            return len(words), {m: [number[w] for w in l] for m, l in lists.items()}

        self.word_count, self.titles = numbers(titles)
        self.genre_count, self.genres = numbers(genres)
        self.ratings = [(int(u), int(m), int(r)) for u, m, r, _ in lines(directory, 'ratings.dat')]


def pad(lists, width):
    """Lists of numbers as one array, -1 behind their ends."""
    array = np.full((len(lists), width), -1)
    for row, values in zip(array, lists):
        row[:len(values)] = values
    return array


class Model:
    def __init__(self, tensors, pooling):
        self.p = {name: values.copy() for name, values in tensors.items()}
        self.pooling = pooling

    def step(self, data, batch, learning_rate):
        """One step of gradient descent on the batch's mean squared error; returns that error."""
        p = self.p
        g = {name: np.zeros_like(values) for name, values in p.items()}
        B = len(batch)
        ids = {'user': np.array([u for u, _, _ in batch]),
               'movie': np.array([m for _, m, _ in batch])}
        features = np.array([data.users[u] for u, _, _ in batch])
        ids['gender'], ids['age'], ids['occupation'] = features.T
        label = np.array([2.0 * r - 5 for _, _, r in batch])
        titles = [data.titles[m] for _, m, _ in batch]
        T = max(1, max(map(len, titles)))
        words = pad(titles, T)
        categories = [data.genres[m] for _, m, _ in batch]
        genres = pad(categories, max(map(len, categories)))

        # Forward. Linear features.
        rows = {t: p[t + '.weight'][ids[t]] for t in ids}
        out = {t: rows[t] @ p[t + '_fc.weight'].T + p[t + '_fc.bias'] for t in ids}
        # Genres: a sum of rows.
        has_genre = (genres >= 0)[:, :, None]
        genre = (p['genre.weight'][genres] * has_genre).sum(1)
        # Title: windows of `width` words, zeros outside the title, at every word.
        here = words >= 0
        vectors = p['word.weight'][words] * here[:, :, None]
        dim = vectors.shape[2]
        width = p['title_conv.weight'].shape[1] // dim
        before = (width - 1) // 2
        padded = np.zeros((B, T + width - 1, dim))
        padded[:, before:before + T] = vectors
        windows = np.concatenate([padded[:, k:k + T] for k in range(width)], 2)
        h = np.tanh(windows @ p['title_conv.weight'].T + p['title_conv.bias'])
        if self.pooling == 'sum':
            taken = np.broadcast_to(here[:, :, None], h.shape).astype(float)
        else:
            first = np.where(here[:, :, None], h, -np.inf).argmax(1)
            taken = (np.arange(T)[None, :, None] == first[:, None, :]) * here[:, :, None]
        title = (h * taken).sum(1)
        # Towers and their cosine.
        user_in = np.concatenate([out[t] for t in ('user', 'gender', 'age', 'occupation')], 1)
        movie_in = np.concatenate([out['movie'], genre, title], 1)
        x = np.tanh(user_in @ p['user_combined.weight'].T + p['user_combined.bias'])
        y = np.tanh(movie_in @ p['movie_combined.weight'].T + p['movie_combined.bias'])
        xx = np.maximum((x * x).sum(1), 1e-8)
        yy = np.maximum((y * y).sum(1), 1e-8)
        z = (x * y).sum(1) / np.sqrt(xx * yy)
        error = 5 * z - label

        # Backward.
        dz = (5 * 2 * error / B)[:, None]
        scale = 1 / np.sqrt(xx * yy)[:, None]
        dx = dz * (y * scale - z[:, None] * x / xx[:, None]) * (1 - x * x)
        dy = dz * (x * scale - z[:, None] * y / yy[:, None]) * (1 - y * y)
        for layer, d, inner in ('user_combined', dx, user_in), ('movie_combined', dy, movie_in):
            g[layer + '.weight'] = d.T @ inner
            g[layer + '.bias'] = d.sum(0)
        parts = {}
        at = 0
        d_user = dx @ p['user_combined.weight']
        for t in 'user', 'gender', 'age', 'occupation':
            parts[t] = d_user[:, at:at + out[t].shape[1]]
            at += out[t].shape[1]
        d_movie = dy @ p['movie_combined.weight']
        fc, bag = out['movie'].shape[1], genre.shape[1]
        parts['movie'], d_genre, d_title = np.split(d_movie, [fc, fc + bag], 1)
        for t, d in parts.items():
            g[t + '_fc.weight'] = d.T @ rows[t]
            g[t + '_fc.bias'] = d.sum(0)
            np.add.at(g[t + '.weight'], ids[t], d @ p[t + '_fc.weight'])
        for k in range(genres.shape[1]):
            some = genres[:, k] >= 0
            np.add.at(g['genre.weight'], genres[some, k], d_genre[some])
        dh = d_title[:, None, :] * taken * (1 - h * h)
        g['title_conv.weight'] = np.einsum('btf,btw->fw', dh, windows)
        g['title_conv.bias'] = dh.sum((0, 1))
        d_windows = dh @ p['title_conv.weight']
        d_padded = np.zeros_like(padded)
        for k in range(width):
            d_padded[:, k:k + T] += d_windows[:, :, k * dim:(k + 1) * dim]
        np.add.at(g['word.weight'], words[here], d_padded[:, before:before + T][here])

        for name in p:
            p[name] -= learning_rate * g[name]
        return float((error ** 2).mean())


def batches(ratings, steps, batch_size, lanes):
    """Lane l of L owns the block [l*N/L, (l+1)*N/L); a step takes the next B/L of every lane."""
    n, each = len(ratings), batch_size // lanes
    blocks = [ratings[l * n // lanes:(l + 1) * n // lanes] for l in range(lanes)]
    for s in range(steps):
        yield [r for block in blocks for r in block[s * each:(s + 1) * each]]


def ratio(difference, whole):
    return 0.0 if difference == 0 else difference / whole if whole > 0 else np.inf


def compare(initial, ours, theirs, tolerance, update_tolerance):
    print(f'{"tensor":24s} {"norm":>9s} {"max":>9s} {"update":>9s}')
    good = True
    for name in NAMES:
        a, b, start = ours[name], theirs[name], initial[name]
        norm = ratio(np.linalg.norm(b - a), np.linalg.norm(a))
        largest = ratio(np.abs(b - a).max(), np.abs(a).max())
        update = ratio(np.linalg.norm(b - a), np.linalg.norm(a - start))
        bad = max(norm, largest) > tolerance or update > update_tolerance
        good = good and not bad
        print(f'{name:24s} {norm:9.2e} {largest:9.2e} {update:9.2e}{"  <-- too large" if bad else ""}')
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', required=True)
    parser.add_argument('--initial', required=True)
    parser.add_argument('--final', required=True)
    parser.add_argument('--test-ratings', help='the file given to training; not read')
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--batch-size', type=int, default=256)
    parser.add_argument('--lanes', type=int, default=8)
    parser.add_argument('--learning-rate', type=float, default=0.2)
    parser.add_argument('--pooling', choices=['sum', 'max'], default='sum')
    parser.add_argument('--tolerance', type=float, default=1e-5)
    parser.add_argument('--update-tolerance', type=float, default=2e-4)
    args = parser.parse_args()

    data = Data(args.data)
    initial, theirs = read_model(args.initial), read_model(args.final)
    expected = {'user': max(data.users) + 1, 'movie': max(data.titles) + 1,
                'genre': data.genre_count, 'word': data.word_count}
    for table, rows in expected.items():
        found = initial[table + '.weight'].shape[0]
        if found != rows:
            sys.exit(f'{args.initial}: table {table} has {found} rows, the data give {rows}')
    if (args.steps * args.batch_size // args.lanes) * args.lanes > len(data.ratings):
        sys.exit(f'{args.steps} steps of {args.batch_size} are more than an epoch')

    model = Model(initial, args.pooling)
    for step, batch in enumerate(batches(data.ratings, args.steps, args.batch_size, args.lanes)):
        cost = model.step(data, batch, args.learning_rate)
        print(f'step {step + 1:3d}  cost {cost:.6f}')
    if not compare(initial, model.p, theirs, args.tolerance, args.update_tolerance):
        sys.exit('replay.py: the tensors marked differ from the replay')
    print(f'every tensor within {args.tolerance:g}, its update within {args.update_tolerance:g}')


if __name__ == '__main__':
    main()
