module stateset.example/client

go 1.24
