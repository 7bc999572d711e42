"""How the embedded model tercet-tiny is made: corpus, training, export and checks."""
