"""What is kept on disk: settings, secrets, the database with journal and history."""
