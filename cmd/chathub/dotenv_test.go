package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDotenvLines(t *testing.T) {
	const key = "abcKEYdef0123456789"
	for _, tt := range []struct {
		name, file string
		refused    string   // what the error tells of the lines; "": it is read
		unknown    []string // that are warned of
	}{
		{"as an editor on Windows writes it", "\ufeffPORT=0\r\nMISTRAL_API_KEY=" + key + "\r\n", "", nil},
		{"names that are misspelt", "# a comment\nREDIS_ULR=redis://h\nPORT=0\nPROT=1\n", "", []string{"REDIS_ULR in line 2", "PROT in line 4"}},
		{"a flag that is no variable", "DEMO=1", "", []string{"DEMO in line 1"}},
		{"a key in the place of a name", key + "=\n" + strings.ToUpper(key) + "=", "", []string{"line 1", "line 2"}},
		{"a value over lines", "SYSTEM_PROMPT=\"one\n\ntwo=2\"\nNOPE=1", "", []string{"NOPE in line 4"}},
		{"a setting of its own above", "A_B=1\nMISTRAL_MODEL=${A_B}\n", "", []string{"A_B in line 1"}},
		{"words", "PORT=0\n\n" + key + " is the key\nPORT 1\n", "line 3, 4;", nil},
		{"a word", key, "line 1;", nil},
		{"a quote that does not end", "PORT=0\nSYSTEM_PROMPT='" + key + "\nLLM=ollama\n", "line 2;", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := noFile(t)
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := parse([]string{"--demo"}, nil, path, io.Discard)
			if err == nil != (tt.refused == "") || err != nil && (!strings.Contains(err.Error(), tt.refused) || strings.Contains(err.Error(), key)) {
				t.Errorf("%v, want one of %q without the key", err, tt.refused)
			}
			if diff := cmp.Diff(tt.unknown, got.unknown); diff != "" {
				t.Errorf("warned of (-want +got):\n%s", diff)
			}
			if strings.HasPrefix(tt.file, "\ufeff") && (got.Port != 0 || got.MistralAPIKey != key) {
				t.Errorf("port %d, key %q", got.Port, got.MistralAPIKey)
			}
		})
	}
}
