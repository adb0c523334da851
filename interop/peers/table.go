package main

import (
	"fmt"
	"io"
	"slices"
)

// writeTable writes the cells as a Markdown table, each beside the bare proxy of its algorithm.
func writeTable(w io.Writer, cells []*cell, bare map[string]*cell) {
	fmt.Fprintln(w, "| proxy | tokens | requests/s | of bare | CPU µs/request | requests/s, lowest to highest |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|---|")
	for _, c := range cells {
		rates := make([]float64, len(c.samples))
		for i, s := range c.samples {
			rates[i] = s.rate
		}
		ratio := ""
		if b := bare[c.algorithm]; b != nil {
			ratio = fmt.Sprintf("%.2f", c.ratio(b))
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %s | %.1f | %.0f – %.0f |\n",
			c.name, c.algorithm, c.rate(), ratio, c.processor(), slices.Min(rates), slices.Max(rates))
	}
}
