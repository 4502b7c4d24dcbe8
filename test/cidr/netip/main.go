// netip says how Go's net/netip reads prefixes: a JSON list of texts on stdin, a JSON list of what they are on stdout.
// "" is what it refuses; else the prefix as Go writes it, without host bits.
package main

import (
	"encoding/json"
	"log"
	"net/netip"
	"os"
)

func main() {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		log.Fatal(err)
	}
	read := make([]string, len(texts))
	for at, text := range texts {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			read[at] = prefix.Masked().String()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(read); err != nil {
		log.Fatal(err)
	}
}
