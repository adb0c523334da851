package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// plan is how much is measured.
type plan struct {
	warmup, duration time.Duration // whole seconds, of each cell in each round
	rounds           int
	connections      int
}

// cell is a line of the table: a peer, under load with some tokens.
type cell struct {
	name      string
	algorithm string
	peer      *peer
	tokens    string // file
	next      uint64 // the number of the token that comes next: no token is sent again before all others were
	samples   []sample
	err       error // the first
}

// sample is what one round found.
type sample struct {
	rate float64       // requests in a second
	cpu  time.Duration // of the peer, for a request
}

// measure goes through all cells in each round, in alternating order: what else the machine does,
// and what the cell before has left, then falls upon all alike.
func (p plan) measure(ctx context.Context, g generator, cells []*cell, progress func(string)) {
	for round := range p.rounds {
		order := slices.Clone(cells)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if c.err != nil {
				continue
			}
			s, err := p.sample(ctx, g, c)
			if err != nil {
				c.err = fmt.Errorf("round %d: %w", round+1, err)
				progress(fmt.Sprintf("round %d: %s, %s: %v", round+1, c.name, c.algorithm, err))
				continue
			}
			c.samples = append(c.samples, s)
			progress(fmt.Sprintf("round %d: %s, %s: %.0f requests/s, %.1f µs", round+1, c.name, c.algorithm, s.rate, micros(s.cpu)))
		}
	}
}

// sample warms a peer up and measures it once.
func (p plan) sample(ctx context.Context, g generator, c *cell) (sample, error) {
	if p.warmup > 0 {
		if _, err := c.load(ctx, g, p.warmup); err != nil {
			return sample{}, fmt.Errorf("warm-up: %w", err)
		}
	}
	before, err := c.cpu()
	if err != nil {
		return sample{}, err
	}
	l, err := c.load(ctx, g, p.duration)
	if err != nil {
		return sample{}, err
	}
	after, err := c.cpu()
	if err != nil {
		return sample{}, err
	}
	return sample{rate: l.Rate, cpu: (after - before) / time.Duration(l.Requests)}, nil
}

// load sends requests for a while. A request that was not answered well is an error.
func (c *cell) load(ctx context.Context, g generator, d time.Duration) (load, error) {
	l, err := g.run(ctx, "http://"+c.peer.address, c.tokens, c.next, d)
	c.next += l.Requests
	if err == nil {
		err = l.errors()
	}
	return l, err
}

// cpu is what the peer's processes have used so far.
func (c *cell) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range c.peer.processes {
		used, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// rate is the median of the rounds.
func (c *cell) rate() float64 {
	return median(c.samples, func(s sample) float64 { return s.rate })
}

// processor is the median of the rounds, in microseconds for a request.
func (c *cell) processor() float64 {
	return median(c.samples, func(s sample) float64 { return micros(s.cpu) })
}

// ratio is the median of the ratios of the rounds, each of what was measured within a minute or so.
func (c *cell) ratio(to *cell) float64 {
	var ratios []float64
	for i := range min(len(c.samples), len(to.samples)) {
		ratios = append(ratios, c.samples[i].rate/to.samples[i].rate)
	}
	return median(ratios, func(r float64) float64 { return r })
}

// median of nothing is 0.
func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	slices.Sort(values)
	n := len(values)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
