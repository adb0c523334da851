package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	const stream = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"p","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    p_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestBad","Elapsed":0.1}
{"Action":"output","Package":"p","Test":"TestLater","Output":"--- SKIP: TestLater (0.00s)\n"}
{"Action":"output","Package":"p","Test":"TestLater","Output":"    p_test.go:9: no vectors here\n"}
{"Action":"skip","Package":"p","Test":"TestLater"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p","Elapsed":0.2}
{"ImportPath":"q [q.test]","Action":"build-output","Output":"q_test.go:1:1: syntax error\n"}
{"Action":"fail","Package":"q","Elapsed":0,"FailedBuild":"q [q.test]"}
{"Action":"output","Package":"r","Test":"TestCrash","Output":"panic: boom\n"}
{"Action":"fail","Package":"r","Elapsed":0.1}
`
	s := summary{output: map[string][]string{}, failedIn: map[string]int{}}
	var printed strings.Builder
	if err := s.read(strings.NewReader(stream), &printed); err != nil {
		t.Fatal(err)
	}
	if s.passed != 1 || s.failed != 3 {
		t.Errorf("got %d passed, %d failed, want 1 passed and 3 failed: a test, a build, a crash", s.passed, s.failed)
	}
	if want := "p TestLater: p_test.go:9: no vectors here"; len(s.skipped) != 1 || s.skipped[0] != want {
		t.Errorf("got skipped %q, want %q", s.skipped, want)
	}
	for _, want := range []string{"got 1, want 2", "syntax error", "panic: boom", "FAIL  p", "FAIL  q", "FAIL  r"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q was not printed", want)
		}
	}
	if strings.Contains(printed.String(), "RUN   TestGood") {
		t.Error("the output of a test that passed was printed")
	}
}
