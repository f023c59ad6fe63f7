"""Where the back ends keep things: the engine, its migrations, cursors. No HTTP, no kernel."""
