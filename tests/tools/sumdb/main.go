// Copyright (c) 2026 The gofleet.cache authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Sumdb serves a signed checksum database of a folder of modules (GOPROXY=file://FOLDER) on loopback, with Go's own
// code for it (golang.org/x/mod/sumdb).
//
//	sumdb -modules FOLDER [-more N] [-cert PEM -key PEM]
//
// It prints one line, the port and what GOSUMDB is set to, and ends when its standard input does. The database's name is
// localhost:PORT, so that Go finds it also where no proxy passes it on.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	log.SetFlags(0)
	modules := flag.String("modules", "", "folder of modules")
	more := flag.Int("more", 0, "records of modules that do not exist, so that the tree has full tiles")
	cert := flag.String("cert", "", "certificate, for https")
	key := flag.String("key", "", "its key")
	flag.Parse()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	signer, verifier, err := note.GenerateKey(rand.Reader, fmt.Sprintf("localhost:%d", port))
	if err != nil {
		log.Fatal(err)
	}
	gosum := func(path, version string) ([]byte, error) {
		if path == "example.com/filler" {
			return fmt.Appendf(nil, "%s %s h1:%044d\n%s %s/go.mod h1:%044d\n", path, version, 0, path, version, 0), nil
		}
		return sums(*modules, path, version)
	}
	server := sumdb.NewServer(sumdb.NewTestServer(signer, gosum))
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle(path, server)
	}
	for i := range *more {
		request, err := http.NewRequest("GET", fmt.Sprintf("/lookup/example.com/filler@v1.0.%d", i), nil)
		if err != nil {
			log.Fatal(err)
		}
		server.ServeHTTP(nowhere{}, request)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Printf("%d %s\n", port, verifier)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if *cert != "" {
		log.Fatal(web.ServeTLS(listener, *cert, *key))
	}
	log.Fatal(web.Serve(listener))
}

// sums returns the two lines that go.sum has for a module version.
func sums(folder, path, version string) ([]byte, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	file, err := module.EscapeVersion(version)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(folder, escaped, "@v", file)
	zip, err := dirhash.HashZip(base+".zip", dirhash.Hash1)
	if err != nil {
		return nil, err
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(base + ".mod") })
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, mod), nil
}

// nowhere takes an answer that nobody waits for.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
