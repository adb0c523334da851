// Command benchtable reads the output of `go test -bench` and prints a table
// with one row for each path: what it costs here, what the bare operation that
// it can't do without costs in the same run, and the ratio of the two.
//
// The convention: beside the sub-benchmarks of a path stands one named "bare".
// BenchmarkGateway/jwt is measured against BenchmarkGateway/bare; a path that
// is alone is named "ours", and its row takes the name of the two's parent. The ratio is
// bare/ours: 1.00 costs nothing beside what it is measured against, 0.50
// costs as much again. A benchmark without a bare one beside it is a row
// without a ratio. Of several runs (-count) the median counts.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one benchmark: its runs, in nanoseconds, and its allocations.
type result struct {
	pkg, name string // the name without "Benchmark" and without the number of processors
	ns        []float64
	allocs    string // per operation; empty if not measured
}

func main() {
	results, failed, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
	print(os.Stdout, results)
	if failed {
		fmt.Fprintln(os.Stderr, "benchtable: a package failed; see above")
		os.Exit(1)
	}
}

// procs is the "-2" that the testing package appends for GOMAXPROCS other than 1.
var procs = regexp.MustCompile(`-\d+$`)

func read(r io.Reader) (results []*result, failed bool, err error) {
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "pkg: "):
			pkg = path.Base(fields[1])
		case strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL"):
			failed = true
			fmt.Fprintln(os.Stderr, line)
		case strings.HasPrefix(line, "Benchmark") && len(fields) >= 4:
			name := strings.TrimPrefix(procs.ReplaceAllString(fields[0], ""), "Benchmark")
			res := find(results, pkg, name)
			if res == nil {
				res = &result{pkg: pkg, name: name}
				results = append(results, res)
			}
			if err := res.add(fields[2:]); err != nil {
				return nil, false, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	return results, failed, lines.Err()
}

func find(results []*result, pkg, name string) *result {
	i := slices.IndexFunc(results, func(r *result) bool { return r.pkg == pkg && r.name == name })
	if i < 0 {
		return nil
	}
	return results[i]
}

// add takes the value and unit pairs of one result line.
func (r *result) add(pairs []string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch pairs[i+1] {
		case "ns/op":
			ns, err := strconv.ParseFloat(pairs[i], 64)
			if err != nil {
				return err
			}
			r.ns = append(r.ns, ns)
		case "allocs/op":
			r.allocs = pairs[i]
		}
	}
	return nil
}

func print(w io.Writer, results []*result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := len("path")
	for _, r := range results {
		width = max(width, len(r.pkg)+1+len(r.name))
	}
	fmt.Fprintf(t, "%-*s\tours\tbare\tratio\tallocs\t\n", width, "path")
	for _, r := range results {
		parent, last := path.Split(r.name)
		if last == "bare" {
			continue
		}
		ours, against, ratio := median(r.ns), 0.0, ""
		if bare := find(results, r.pkg, parent+"bare"); parent != "" && bare != nil {
			against = median(bare.ns)
			ratio = fmt.Sprintf("%.2f", against/ours)
		}
		name := r.name
		if last == "ours" {
			name = path.Clean(parent)
		}
		fmt.Fprintf(t, "%-*s\t%s\t%s\t%s\t%s\t\n", width, r.pkg+" "+name, span(ours), span(against), ratio, r.allocs)
	}
	t.Flush()
}

func median(ns []float64) float64 {
	if len(ns) == 0 {
		return 0
	}
	ns = slices.Sorted(slices.Values(ns))
	return (ns[(len(ns)-1)/2] + ns[len(ns)/2]) / 2
}

// span is a duration with three significant digits, empty if it was not measured.
func span(ns float64) string {
	if ns == 0 {
		return ""
	}
	if ns < 1000 {
		return fmt.Sprintf("%.3gns", ns)
	}
	d := time.Duration(ns)
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
